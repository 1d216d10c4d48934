/* The search for PEM blocks over any bytes: it ends, and each block is a part of the file, behind the last
 * one. */
#include "trust/pem_block.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect(bool right)
{
    if (!right)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct pem_file file = { .path = "fuzz", .bytes = malloc(length ? length : 1) };
    struct pem_scan scan;
    struct pem_block block;
    struct fault fault = { .text = "" };
    size_t line = 0;
    enum pem_found found;

    if (!file.bytes)
        return 0;
    if (length)
        memcpy(file.bytes, bytes, length);
    file.length = length;
    const char *last = file.bytes;
    pem_scan_start(&scan, &file);
    expect(file.length <= length);
    while ((found = pem_scan_next(&scan, &block, &fault)) == PEM_FOUND_BLOCK) {
        expect(block.text >= last && block.text + block.length <= file.bytes + file.length);
        expect(block.line > line && block.length >= 2 * block.label_length + 20);
        expect(memcmp(block.text, "-----BEGIN ", 11) == 0 && block.text[block.length - 1] == '-');
        last = block.text + block.length;
        line = block.line;
    }
    expect((found == PEM_FOUND_FAULT) == (fault.text[0] != '\0'));
    pem_file_wipe(&file);
    return 0;
}
