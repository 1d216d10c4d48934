/* Opens a file for reading only if it is a regular file.
 *
 * To open or read a FIFO or a terminal could wait for another program for ever. */
#ifndef HUSK_BASE_REGULAR_FILE_H
#define HUSK_BASE_REGULAR_FILE_H

#include "base/fault.h"

/* A descriptor that the caller closes, or -1. The fault does not name the file. Never waits for a writer. */
MUST_CHECK int regular_file_open(const char *path, struct fault *fault);

#endif
