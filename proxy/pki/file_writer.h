/* Writes small files whole: a reader, also after a crash, sees the old file, the new file or no file.
 *
 * The bytes go to a temporary file beside the file, to the disk, and then to their name; the changes of
 * directories are written to the disk, too. A new file has the mode 0600. Knows nothing of the contents. */
#ifndef HUSK_PKI_FILE_WRITER_H
#define HUSK_PKI_FILE_WRITER_H

#include "base/fault.h"

#include <stdbool.h>
#include <sys/types.h>

struct bio_st;

/* Writes the bytes of `content` (a memory BIO, which is borrowed) to a new file. Fails if `path` exists. */
MUST_CHECK bool file_writer_create(const char *path, struct bio_st *content, struct fault *fault);

/* The same, and replaces a file that exists. The new file has the mode, the group and the owner of the file
 * `like`, if there is one. `like` may be `path`. */
MUST_CHECK bool file_writer_replace(const char *path, const char *like, struct bio_st *content,
                                    struct fault *fault);

/* Makes a symbolic link to `target`, which replaces `path`. No other process may write there. */
MUST_CHECK bool file_writer_link(const char *path, const char *target, struct fault *fault);

/* Makes a directory with this mode, whatever the umask is, unless the directory exists. */
MUST_CHECK bool file_writer_folder(const char *path, mode_t mode, struct fault *fault);

/* Removes the temporary files that an interrupted run has left in `directory`. No other process may write
 * there. */
void file_writer_sweep(const char *directory);

#endif
