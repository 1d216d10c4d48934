/* What the process knows of its PKCS#11 tokens, module by module: whether a key is being opened, and which
 * PINs were refused.
 *
 * Each key in a token shares this knowledge as long as a thread of the key runs, so that the process can wait
 * for these threads before it ends. Calls no module. Any thread may use it. */
#ifndef HUSK_TRUST_TOKENS_H
#define HUSK_TRUST_TOKENS_H

#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

struct tokens;       /* shared */
struct token_module; /* owned by its tokens, and lives as long as they do */

/* `timeout_ms`: how long a token may take to open a key (--token-timeout). NULL when out of memory. */
MUST_CHECK struct tokens *tokens_new(uint64_t timeout_ms);
struct tokens *tokens_share(struct tokens *tokens);
void tokens_release(struct tokens *tokens);

/* Releases the share of the process, when no key is needed any more. Waits until the threads of all keys have
 * ended, for a second at the most: a token that hangs must not keep the process. False: a thread still runs
 * in the module, so the process must end without exit handlers (process_end). NULL is fine. */
MUST_CHECK bool tokens_close(struct tokens *tokens);

uint64_t tokens_timeout_ms(const struct tokens *tokens);

/* The module in this file. NULL when out of memory. */
struct token_module *tokens_module(struct tokens *tokens, const char *path);
const char *tokens_path(const struct token_module *module);

/* A module opens one key at a time: with a token that does not answer, no more than one thread waits. False:
 * another key is being opened. */
MUST_CHECK bool tokens_enter(struct token_module *module);
/* The key is open, or has failed to open. */
void tokens_leave(struct token_module *module);

/* One login at a time, so that two threads do not try the same wrong PIN. */
void tokens_lock(struct token_module *module);
void tokens_unlock(struct token_module *module);
/* Both between lock and unlock. `pin` stands for a token and the PIN of a source: a source that changes gives
 * another number. */
bool tokens_have_refused(const struct token_module *module, uint64_t pin);
void tokens_note_refusal(struct token_module *module, uint64_t pin);

#endif
