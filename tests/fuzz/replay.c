/* Runs a fuzz target over files, without libFuzzer: for `make test` with any compiler. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* The bytes of a file in a block of exactly their size; NULL when the file cannot be read. */
static uint8_t *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long size;

    if (!file)
        return NULL;
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        *length = (size_t)size;
        bytes = malloc(*length ? *length : 1);
        if (bytes && fread(bytes, 1, *length, file) != *length) {
            free(bytes);
            bytes = NULL;
        }
    }
    fclose(file);
    return bytes;
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        size_t length = 0;
        uint8_t *bytes = read_file(arguments[i], &length);
        if (!bytes) {
            fprintf(stderr, "%s: cannot be read\n", arguments[i]);
            return 1;
        }
        LLVMFuzzerTestOneInput(bytes, length);
        free(bytes);
    }
    printf("PASSED %d inputs\n", count - 1);
    return 0;
}
