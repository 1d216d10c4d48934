#include "trust/pem_block.h"

#include <ctype.h>
#include <openssl/bio.h>
#include <openssl/mem.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { DER_SEQUENCE = 0x30 };

/* ---- lines ---- */

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static size_t blanks_at(const char *bytes, size_t length)
{
    static const char byte_order_mark[] = { '\xef', '\xbb', '\xbf' };
    size_t count = 0;

    for (;;) {
        if (count < length && is_blank(bytes[count]))
            count++;
        else if (length - count >= 3 && memcmp(bytes + count, byte_order_mark, 3) == 0)
            count += 3;
        else
            return count;
    }
}

static size_t line_length(const char *bytes, size_t length)
{
    size_t at = 0;

    while (at < length && bytes[at] != '\n' && bytes[at] != '\r')
        at++;
    return at;
}

/* Every line becomes its text and '\n'. The bytes that remain at the end are wiped: they may be bytes of a
 * key. */
void pem_scan_start(struct pem_scan *scan, struct pem_file *file)
{
    size_t from = 0, to = 0;

    while (from < file->length) {
        from += blanks_at(file->bytes + from, file->length - from);
        size_t whole = line_length(file->bytes + from, file->length - from), length = whole;
        while (length && is_blank(file->bytes[from + length - 1]))
            length--;
        size_t next = from + whole;
        bool has_end = next < file->length;
        if (has_end)
            next += next + 1 < file->length && memcmp(file->bytes + next, "\r\n", 2) == 0 ? 2 : 1;
        memmove(file->bytes + to, file->bytes + from, length);
        to += length;
        if (has_end)
            file->bytes[to++] = '\n';
        from = next;
    }
    if (to < file->length)
        OPENSSL_cleanse(file->bytes + to, file->length - to);
    file->length = to;
    *scan = (struct pem_scan) { .file = file };
}

struct line {
    const char *text;
    size_t length;
};

static bool next_line(struct pem_scan *scan, struct line *line)
{
    size_t left = scan->file->length - scan->at;

    if (!left)
        return false;
    line->text = scan->file->bytes + scan->at;
    line->length = line_length(line->text, left);
    scan->at += line->length + (line->length < left ? 1 : 0);
    scan->line++;
    return true;
}

/* ---- delimiters ---- */

enum delimiter { DELIMITER_NONE, DELIMITER_BEGIN, DELIMITER_END, DELIMITER_DAMAGED };

static bool contains(const struct line *line, const char *word)
{
    return memmem(line->text, line->length, word, strlen(word)) != NULL;
}

static bool is_letter(char byte)
{
    return isalnum((unsigned char)byte);
}

static bool begins_with_word(const struct line *text, const char *word)
{
    size_t length = strlen(word);

    return text->length > length && strncasecmp(text->text, word, length) == 0 &&
           !is_letter(text->text[length]);
}

static bool ends_with_word(const struct line *text, const char *word)
{
    size_t length = strlen(word);
    const char *end = text->text + text->length - length;

    return text->length > length && strncasecmp(end, word, length) == 0 && !is_letter(end[-1]);
}

/* Whether the line is a BEGIN or END in other letters or between other marks than dashes, as text programs
 * make them. A comment that speaks of the end of a certificate has no marks on both sides. */
static bool is_like_delimiter(const struct line *line)
{
    size_t from = 0, to = line->length;

    while (from < to && !is_letter(line->text[from]))
        from++;
    while (to > from && !is_letter(line->text[to - 1]))
        to--;
    struct line words = { line->text + from, to - from };
    return from && to < line->length &&
           (begins_with_word(&words, "BEGIN") || begins_with_word(&words, "END")) &&
           (ends_with_word(&words, "CERTIFICATE") || ends_with_word(&words, "KEY") ||
            ends_with_word(&words, "CRL"));
}

/* Sets the label of BEGIN and END. */
static enum delimiter delimiter_of(const struct line *line, struct line *label)
{
    static const char begin[] = "-----BEGIN ", end[] = "-----END ", dashes[] = "-----";
    enum { BEGIN_BYTES = sizeof begin - 1, END_BYTES = sizeof end - 1, DASHES = sizeof dashes - 1 };
    bool is_begin = line->length >= BEGIN_BYTES && memcmp(line->text, begin, BEGIN_BYTES) == 0;
    bool is_end = line->length >= END_BYTES && memcmp(line->text, end, END_BYTES) == 0;
    size_t skipped = is_begin ? BEGIN_BYTES : END_BYTES;

    if (line->length && line->text[0] == '#')
        return DELIMITER_NONE;
    if (!contains(line, "--BEGIN") && !contains(line, "--END") && !is_like_delimiter(line))
        return DELIMITER_NONE;
    if ((!is_begin && !is_end) || line->length <= skipped + DASHES ||
        memcmp(line->text + line->length - DASHES, dashes, DASHES) != 0)
        return DELIMITER_DAMAGED;
    *label = (struct line) { line->text + skipped, line->length - skipped - DASHES };
    if (contains(label, "-"))
        return DELIMITER_DAMAGED;
    return is_begin ? DELIMITER_BEGIN : DELIMITER_END;
}

static bool is_label(const struct line *label, const char *word)
{
    return label->length == strlen(word) && memcmp(label->text, word, label->length) == 0;
}

static bool ends_with(const struct line *label, const char *word)
{
    size_t length = strlen(word);

    return label->length >= length && memcmp(label->text + label->length - length, word, length) == 0;
}

static enum pem_kind kind_of(const struct line *label)
{
    if (is_label(label, "CERTIFICATE") || is_label(label, "X509 CERTIFICATE"))
        return PEM_CERTIFICATE;
    if (is_label(label, "TRUSTED CERTIFICATE"))
        return PEM_TRUSTED_CERTIFICATE;
    if (is_label(label, "X509 CRL"))
        return PEM_CRL;
    if (ends_with(label, "PRIVATE KEY"))
        return PEM_PRIVATE_KEY;
    return ends_with(label, " PARAMETERS") ? PEM_PARAMETERS : PEM_OTHER;
}

/* ---- blocks ---- */

__attribute__((format(printf, 4, 5))) static enum pem_found
scan_fault(const struct pem_scan *scan, struct fault *fault, size_t line, const char *format, ...)
{
    char what[FAULT_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    fault_set(fault, "%s: line %zu: %s", scan->file->path, line, what);
    return PEM_FOUND_FAULT;
}

/* Reads from BEGIN to the END with the same label. */
static enum pem_found finish_block(struct pem_scan *scan, struct pem_block *block, struct fault *fault)
{
    struct line line, label;

    while (next_line(scan, &line)) {
        enum delimiter delimiter = delimiter_of(&line, &label);
        if (delimiter == DELIMITER_NONE)
            continue;
        if (delimiter == DELIMITER_END && label.length == block->label_length &&
            memcmp(label.text, block->label, label.length) == 0) {
            block->length = (size_t)(line.text + line.length - block->text);
            return PEM_FOUND_BLOCK;
        }
        return scan_fault(scan, fault, scan->line, "expected the END of the block that begins in line %zu",
                          block->line);
    }
    return scan_fault(scan, fault, block->line, "the block that begins here has no END");
}

static bool is_base64(const struct line *line)
{
    enum { BASE64_LINE_MIN = 60 };
    size_t count = 0;

    while (count < line->length &&
           (is_letter(line->text[count]) || line->text[count] == '+' || line->text[count] == '/'))
        count++;
    return count == line->length && count >= BASE64_LINE_MIN;
}

/* Whether this line and the next one are the contents of a block that has no BEGIN. */
static bool is_bare_contents(const struct pem_scan *scan, const struct line *line)
{
    struct pem_scan ahead = *scan;
    struct line next;

    return is_base64(line) && next_line(&ahead, &next) && is_base64(&next);
}

static bool is_utf16(const struct pem_file *file)
{
    return file->length >= 2 &&
           (memcmp(file->bytes, "\xff\xfe", 2) == 0 || memcmp(file->bytes, "\xfe\xff", 2) == 0);
}

enum pem_found pem_scan_next(struct pem_scan *scan, struct pem_block *block, struct fault *fault)
{
    struct line line, label;

    if (is_utf16(scan->file)) {
        fault_set(fault,
                  "%.160s: is UTF-16, not ASCII; convert it with: iconv -f UTF-16 -t UTF-8 %.160s > NEW.pem",
                  scan->file->path, scan->file->path);
        return PEM_FOUND_FAULT;
    }
    while (next_line(scan, &line)) {
        switch (delimiter_of(&line, &label)) {
        case DELIMITER_NONE:
            if (is_bare_contents(scan, &line))
                return scan_fault(scan, fault, scan->line,
                                  "a damaged block: base64 outside of BEGIN and END");
            continue;
        case DELIMITER_END:
            return scan_fault(scan, fault, scan->line, "END without BEGIN");
        case DELIMITER_DAMAGED:
            return scan_fault(scan, fault, scan->line, "a damaged BEGIN or END");
        case DELIMITER_BEGIN:
            *block = (struct pem_block) { .kind = kind_of(&label),
                                          .line = scan->line,
                                          .label = label.text,
                                          .label_length = label.length,
                                          .text = line.text };
            return finish_block(scan, block, fault);
        }
    }
    return PEM_FOUND_END;
}

/* The block has no place in the file. */
static void block_refuse(const struct pem_block *block, const char *path, struct fault *fault)
{
    static const char *const reasons[] = {
        [PEM_CERTIFICATE] = "",
        [PEM_PRIVATE_KEY] = "",
        [PEM_PARAMETERS] = "",
        [PEM_TRUSTED_CERTIFICATE] = "; \"openssl x509\" converts it to a CERTIFICATE",
        [PEM_CRL] = "; a revocation list belongs in a file of --crl, or in the CA file",
        [PEM_OTHER] = "",
    };

    fault_set(fault, "%s: line %zu: a block \"%.*s\" does not belong in this file%s", path, block->line,
              (int)(block->label_length < 64 ? block->label_length : 64), block->label, reasons[block->kind]);
}

enum pem_found pem_scan_next_of(struct pem_scan *scan, enum pem_kind wanted, unsigned beside,
                                struct pem_block *block, struct fault *fault)
{
    enum pem_found found;

    while ((found = pem_scan_next(scan, block, fault)) == PEM_FOUND_BLOCK && block->kind != wanted) {
        if (beside & PEM_ONLY(block->kind))
            continue;
        block_refuse(block, scan->file->path, fault);
        return PEM_FOUND_FAULT;
    }
    return found;
}

bool pem_file_has(struct pem_file *file, enum pem_kind kind)
{
    struct pem_scan scan;
    struct pem_block block = { 0 };
    struct fault ignored;
    bool has = false;

    pem_scan_start(&scan, file);
    while (!has && pem_scan_next(&scan, &block, &ignored) == PEM_FOUND_BLOCK)
        has = block.kind == kind;
    return has;
}

struct bio_st *pem_block_reader(const struct pem_block *block)
{
    return BIO_new_mem_buf(block->text, (int)block->length);
}

bool pem_file_looks_like_der(const struct pem_file *file)
{
    return file->length && file->bytes[0] == DER_SEQUENCE;
}
