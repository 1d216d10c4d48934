/* Writes small files whole: a reader, also after a crash, sees the old file, the new file or no file.
 *
 * The bytes go to a temporary file beside the file, to the disk, and then to their name; the changes of
 * directories are written to the disk, too. Every file has the mode 0600. Knows nothing of the contents. */
#ifndef HUSK_PKI_FILE_WRITER_H
#define HUSK_PKI_FILE_WRITER_H

#include "base/fault.h"

#include <stdbool.h>

struct bio_st;

/* Writes the bytes of `content` (a memory BIO, which is borrowed) to a new file. Fails if `path` exists. */
MUST_CHECK bool file_writer_create(const char *path, struct bio_st *content, struct fault *fault);

/* The same, and replaces a file that exists. */
MUST_CHECK bool file_writer_replace(const char *path, struct bio_st *content, struct fault *fault);

/* Makes a symbolic link to `target`, which replaces `path`. No other process may write there. */
MUST_CHECK bool file_writer_link(const char *path, const char *target, struct fault *fault);

/* Makes a directory (0700), unless it exists. */
MUST_CHECK bool file_writer_folder(const char *path, struct fault *fault);

/* Removes the temporary files that an interrupted run has left in `directory`. No other process may write
 * there. */
void file_writer_sweep(const char *directory);

#endif
