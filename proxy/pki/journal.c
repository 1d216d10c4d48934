#include "pki/journal.h"

#include "base/clock.h"
#include "pki/file_writer.h"
#include "trust/certificate.h"
#include "trust/certificate_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FIELDS = 6, ROWS_MAX = 10000000 };

/* ---- numbers and times ---- */

static bool serial_write(const ASN1_INTEGER *number, char serial[JOURNAL_SERIAL_BYTES])
{
    BIGNUM *value = ASN1_INTEGER_to_BN(number, NULL);
    char *text = value ? BN_bn2hex(value) : NULL;
    /* Of 0, BoringSSL writes one digit, OpenSSL two. */
    int length =
        text ? snprintf(serial, JOURNAL_SERIAL_BYTES, "%s%s", BN_is_zero(value) ? "0" : "", text) : -1;

    for (char *digit = serial; length > 0 && *digit; digit++)
        *digit = (char)toupper((unsigned char)*digit); /* BoringSSL writes lower case, OpenSSL upper case */
    OPENSSL_free(text);
    BN_free(value);
    return length > 0 && length < JOURNAL_SERIAL_BYTES;
}

bool journal_serial_of(const X509 *certificate, char serial[JOURNAL_SERIAL_BYTES])
{
    return serial_write(X509_get0_serialNumber(certificate), serial);
}

char *journal_subject_of(const X509 *certificate)
{
    return X509_NAME_oneline(X509_get_subject_name(certificate), NULL, 0);
}

static int64_t time_parse(const char *text)
{
    ASN1_TIME *time = ASN1_TIME_new();
    bool is_time = time && ASN1_TIME_set_string(time, text) == 1;
    int64_t seconds = is_time ? certificate_seconds_of(time, -1) : -1;

    ASN1_TIME_free(time);
    ERR_clear_error();
    return seconds;
}

/* ---- rows ---- */

static struct journal_row *row_new(struct journal *journal)
{
    /* Grows at powers of two. */
    if ((journal->count & (journal->count - 1)) == 0) {
        size_t capacity = journal->count ? journal->count * 2 : 1;
        struct journal_row *rows = realloc(journal->rows, capacity * sizeof *rows);
        if (!rows)
            return NULL;
        journal->rows = rows;
    }
    struct journal_row *row = &journal->rows[journal->count++];
    *row = (struct journal_row) { .line = NULL };
    return row;
}

/* Takes `line`, without its line end. False: it is no row. */
static bool row_set(struct journal_row *row, char *line)
{
    char *fields[FIELDS], *rest = line;
    int count = 0;

    row->line = line;
    while (rest && count < FIELDS)
        fields[count++] = strsep(&rest, "\t");
    if (count != FIELDS || rest || strlen(fields[0]) != 1 || !strchr("VRE", fields[0][0]))
        return false;
    row->status = (enum journal_status)fields[0][0];
    row->expires = fields[1];
    row->revoked = fields[2];
    row->serial = fields[3];
    row->file = fields[4];
    row->subject = fields[5];
    size_t digits = strlen(row->serial);
    return digits && digits % 2 == 0 && strspn(row->serial, "0123456789ABCDEF") == digits &&
           time_parse(row->expires) >= 0 && (row->status == JOURNAL_REVOKED) == (row->revoked[0] != '\0');
}

static char *row_text(const struct journal_row *row, const char *revoked)
{
    char *text;
    int length = asprintf(&text, "%c\t%s\t%s\t%s\t%s\t%s", row->status, row->expires, revoked, row->serial,
                          row->file, row->subject);

    return length < 0 ? NULL : text;
}

bool journal_add(struct journal *journal, X509 *certificate)
{
    const ASN1_TIME *end = X509_get0_notAfter(certificate);
    char serial[JOURNAL_SERIAL_BYTES], expires[JOURNAL_TIME_BYTES],
        *subject = journal_subject_of(certificate);
    struct journal_row *row = subject && journal_serial_of(certificate, serial) ? row_new(journal) : NULL;

    snprintf(expires, sizeof expires, "%.*s", ASN1_STRING_length(end),
             (const char *)ASN1_STRING_get0_data(end));
    char *line = NULL;
    if (row) {
        const struct journal_row made = { JOURNAL_VALID, NULL, expires, "", serial, "unknown", subject };
        line = row_text(&made, "");
    }
    OPENSSL_free(subject);
    if (line && row_set(row, line))
        return true;
    if (row) {
        free(row->line);
        journal->count--;
    }
    return false;
}

bool journal_revoke(struct journal_row *row, const char *reason, int64_t now)
{
    char revoked[JOURNAL_TIME_BYTES + 32];
    struct tm parts;
    time_t time = (time_t)now;

    gmtime_r(&time, &parts);
    /* UTCTime until 2049, GeneralizedTime from then on (RFC 5280, 5.1.2.6). */
    size_t used =
        strftime(revoked, sizeof revoked, parts.tm_year < 150 ? "%y%m%d%H%M%SZ" : "%Y%m%d%H%M%SZ", &parts);
    snprintf(revoked + used, sizeof revoked - used, "%s%s", reason ? "," : "", reason ? reason : "");
    row->status = JOURNAL_REVOKED;
    char *old = row->line, *line = row_text(row, revoked);
    bool is_set = line && row_set(row, line);
    if (is_set)
        free(old);
    return is_set;
}

struct journal_row *journal_find_serial(const struct journal *journal, const char *serial)
{
    for (size_t i = 0; i < journal->count; i++) {
        if (strcmp(journal->rows[i].serial, serial) == 0)
            return &journal->rows[i];
    }
    return NULL;
}

struct journal_row *journal_find_subject(const struct journal *journal, const char *subject)
{
    for (size_t i = journal->count; i-- > 0;) {
        if (journal->rows[i].status == JOURNAL_VALID && strcmp(journal->rows[i].subject, subject) == 0)
            return &journal->rows[i];
    }
    return NULL;
}

/* ---- files ---- */

static bool is_missing(const char *path)
{
    return access(path, F_OK) != 0 && errno == ENOENT;
}

static bool rows_read(struct journal *journal, FILE *file, const char *path, struct fault *fault)
{
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t length;

    while ((length = getline(&line, &capacity, file)) > 0) {
        number++;
        if (line[length - 1] == '\n')
            line[--length] = '\0';
        if (length == 0 || line[0] == '#')
            continue;
        struct journal_row *row = row_new(journal);
        if (!row || !row_set(row, line)) {
            fault_set(fault,
                      "%s: line %zu: is no line of a journal of openssl ca: restore the file from a backup",
                      path, number);
            if (!row)
                free(line);
            return false;
        }
        line = NULL; /* the row owns it */
        capacity = 0;
    }
    free(line);
    return true;
}

/* openssl ca does the same with -updatedb. */
static void rows_expire(struct journal *journal)
{
    int64_t now = clock_wall_seconds();

    for (size_t i = 0; i < journal->count; i++) {
        if (journal->rows[i].status == JOURNAL_VALID && time_parse(journal->rows[i].expires) < now)
            journal->rows[i].status = JOURNAL_EXPIRED;
    }
}

/* A certificate is on the disk before its row is. */
static bool issued_recover(struct journal *journal, const struct store *store, const char *serial,
                           struct fault *fault)
{
    char path[STORE_PATH_BYTES], own[JOURNAL_SERIAL_BYTES];
    X509 *certificate = certificate_file_load_first(store_path(store, PROFILE_ISSUED, serial, path), fault);

    if (!certificate)
        return false;
    /* A file that only looks like one of ours, such as CA.pem, is not entered. */
    bool is_added =
        !journal_serial_of(certificate, own) || strcmp(own, serial) != 0 || journal_add(journal, certificate);
    if (!is_added)
        fault_set(fault, "%s: the certificate does not fit into the journal", path);
    X509_free(certificate);
    return is_added;
}

/* Takes the serial number from the name of a file, "1000.pem". */
static bool serial_from_name(const char *name, char serial[JOURNAL_SERIAL_BYTES])
{
    size_t digits = strspn(name, "0123456789ABCDEF");

    if (!digits || digits % 2 || digits >= JOURNAL_SERIAL_BYTES || strcmp(name + digits, ".pem") != 0)
        return false;
    memcpy(serial, name, digits);
    serial[digits] = '\0';
    return true;
}

static int compare_texts(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;

    return strcmp(*a, *b);
}

static bool rows_recover(struct journal *journal, const struct store *store, struct fault *fault)
{
    char path[STORE_PATH_BYTES], serial[JOURNAL_SERIAL_BYTES];
    const char **known = calloc(journal->count + 1, sizeof *known);
    size_t count = journal->count;
    const struct dirent *entry;
    bool is_done = known != NULL;

    store_path(store, PROFILE_ISSUED, "", path);
    *strrchr(path, '/') = '\0';
    DIR *folder = opendir(path);
    for (size_t i = 0; known && i < count; i++)
        known[i] = journal->rows[i].serial;
    if (known)
        qsort(known, count, sizeof *known, compare_texts);
    while (folder && is_done && (entry = readdir(folder))) {
        const char *key = serial;
        if (serial_from_name(entry->d_name, serial) &&
            !bsearch(&key, known, count, sizeof *known, compare_texts))
            is_done = issued_recover(journal, store, serial, fault);
    }
    if (folder)
        closedir(folder);
    free(known);
    return is_done;
}

void journal_deinit(struct journal *journal)
{
    for (size_t i = 0; i < journal->count; i++)
        free(journal->rows[i].line);
    free(journal->rows);
    *journal = (struct journal) { .rows = NULL };
}

static bool content_replace(const struct store *store, enum profile_file file, BIO *content,
                            struct fault *fault)
{
    char path[STORE_PATH_BYTES];

    store_path(store, file, NULL, path);
    return file_writer_replace(path, path, content, fault);
}

bool journal_save(const struct journal *journal, const struct store *store, struct fault *fault)
{
    BIO *content = BIO_new(BIO_s_mem());
    bool is_made = content != NULL;

    for (size_t i = 0; is_made && i < journal->count; i++) {
        const struct journal_row *row = &journal->rows[i];
        is_made = BIO_printf(content, "%c\t%s\t%s\t%s\t%s\t%s\n", row->status, row->expires, row->revoked,
                             row->serial, row->file, row->subject) > 0;
    }
    if (!is_made)
        fault_set(fault, "out of memory");
    bool is_saved = is_made && content_replace(store, journal->file, content, fault);
    BIO_free(content);
    return is_saved;
}

bool journal_init(struct journal *journal, const struct store *store, enum profile_file which,
                  struct fault *fault)
{
    char path[STORE_PATH_BYTES];
    FILE *file = fopen(store_path(store, which, NULL, path), "re");
    bool is_read = file || errno == ENOENT;

    *journal = (struct journal) { .file = which };
    if (!is_read)
        fault_set(fault, "%s: %s", path, strerror(errno));
    else if (file)
        is_read = rows_read(journal, file, path, fault);
    if (file)
        fclose(file);
    if (!is_read)
        return false;
    rows_expire(journal);
    size_t before = journal->count;
    return which != PROFILE_INDEX || (rows_recover(journal, store, fault) &&
                                      (journal->count == before || journal_save(journal, store, fault)));
}

bool journal_check_unrevoked(const struct store *store, enum profile_file file, const X509 *certificate,
                             struct fault *fault)
{
    struct journal journal;
    char serial[JOURNAL_SERIAL_BYTES];
    bool is_good = journal_init(&journal, store, file, fault);
    const struct journal_row *row =
        is_good && journal_serial_of(certificate, serial) ? journal_find_serial(&journal, serial) : NULL;

    if (row && row->status == JOURNAL_REVOKED) {
        fault_set(fault, "the certificate of %.64s with serial number %s is revoked: take a new key",
                  row->subject, row->serial);
        is_good = false;
    }
    journal_deinit(&journal);
    return is_good;
}

bool journal_demands_unique_subjects(const struct store *store)
{
    char path[STORE_PATH_BYTES], line[128], value[8];
    bool demands = store->profile->files[PROFILE_INDEX_ATTRIBUTES] != NULL; /* the default of openssl ca */
    FILE *file = demands ? fopen(store_path(store, PROFILE_INDEX_ATTRIBUTES, NULL, path), "re") : NULL;

    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, " unique_subject = %7s", value) == 1)
            demands = strchr("yYtT1", value[0]) != NULL;
    }
    if (file)
        fclose(file);
    return demands;
}

bool journal_allow_equal_subjects(const struct store *store, struct fault *fault)
{
    BIO *content = BIO_new_mem_buf("unique_subject = no\n", -1);
    bool is_written = content && content_replace(store, PROFILE_INDEX_ATTRIBUTES, content, fault);

    BIO_free(content);
    return is_written;
}

/* Reads the number of a file; `first` if there is no file. The caller frees it. */
static BIGNUM *number_read(const char *path, const char *first, struct fault *fault)
{
    char text[JOURNAL_SERIAL_BYTES] = "";
    BIGNUM *number = NULL;
    FILE *file = is_missing(path) ? NULL : fopen(path, "re");

    if (!file && errno == ENOENT)
        snprintf(text, sizeof text, "%s", first);
    else if (!file || fscanf(file, "%63s", text) != 1)
        text[0] = '\0';
    if (file)
        fclose(file);
    size_t digits = strspn(text, "0123456789abcdefABCDEF");
    if (digits && !text[digits] && digits < sizeof text - 8 && BN_hex2bn(&number, text))
        return number;
    fault_set(fault, "%s: expected a hexadecimal number such as 1000: restore the file from a backup", path);
    return NULL;
}

ASN1_INTEGER *journal_take_number(const struct store *store, enum profile_file file, const char *first,
                                  struct fault *fault)
{
    char path[STORE_PATH_BYTES], text[JOURNAL_SERIAL_BYTES];
    BIGNUM *number = number_read(store_path(store, file, NULL, path), first, fault);
    ASN1_INTEGER *taken = number ? BN_to_ASN1_INTEGER(number, NULL) : NULL, *next = NULL;
    BIO *content = BIO_new(BIO_s_mem());

    if (!number)
        goto done;
    fault_set(fault, "out of memory");
    bool is_written = taken && content && BN_add_word(number, 1) &&
                      (next = BN_to_ASN1_INTEGER(number, NULL)) && serial_write(next, text) &&
                      BIO_printf(content, "%s\n", text) > 0 && content_replace(store, file, content, fault);
    if (!is_written) {
        ASN1_INTEGER_free(taken);
        taken = NULL;
    }
done:
    ASN1_INTEGER_free(next);
    BIO_free(content);
    BN_free(number);
    return taken;
}
