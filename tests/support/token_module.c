/* A PKCS#11 module that stands before SoftHSM and does what the files in the directory HUSK_TOKEN_DIRECTORY
 * say:
 *
 *   gate       while it exists, C_Sign waits
 *   fail       while it exists, C_Sign fails with the hexadecimal number in it
 *   fail-once  the same, once: the first failure renames it
 *   lose-once  C_Sign first closes all sessions with the token, and renames the file
 *   absent     while it exists, the token is not there, and C_Sign closes all sessions with it
 *   lacks      mechanisms that the token does not have: numbers, separated by commas
 *   flags      a number: flags that the token has besides its own
 *
 * C_Login and C_Sign append a line to the file `calls`: login, refused, sign.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, TEXT_BYTES = 256 };

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST changed;

static const char *path_of(const char *name, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s", getenv("HUSK_TOKEN_DIRECTORY"), name);
    return path;
}

/* NULL: there is no such file. */
static const char *text_of(const char *name, char text[TEXT_BYTES])
{
    char path[PATH_BYTES];
    int file = open(path_of(name, path), O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, TEXT_BYTES - 1);

    if (file >= 0)
        close(file);
    text[length < 0 ? 0 : length] = 0;
    return length < 0 ? NULL : text;
}

static void note(const char *line)
{
    char path[PATH_BYTES];
    int file = open(path_of("calls", path), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    if (file >= 0) {
        (void)!write(file, line, strlen(line));
        close(file);
    }
}

static int exists(const char *name)
{
    char path[PATH_BYTES];

    return access(path_of(name, path), F_OK) == 0;
}

static void sessions_close(CK_SESSION_HANDLE session)
{
    CK_SESSION_INFO info;

    if (real->C_GetSessionInfo(session, &info) == CKR_OK)
        real->C_CloseAllSessions(info.slotID);
}

static CK_RV failure(void)
{
    char from[PATH_BYTES], to[PATH_BYTES], text[TEXT_BYTES];
    int is_first = rename(path_of("fail-once", from), path_of("failed", to)) == 0;
    const char *code = text_of(is_first ? "failed" : "fail", text);

    return code ? strtoul(code, NULL, 16) : CKR_OK;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR to,
                  CK_ULONG_PTR made)
{
    char before[PATH_BYTES], after[PATH_BYTES];

    note("sign\n");
    while (exists("gate"))
        usleep(2000);
    if (exists("absent") || rename(path_of("lose-once", before), path_of("lost", after)) == 0)
        sessions_close(session);
    CK_RV code = failure();
    CK_RV result = real->C_Sign(session, data, length, to, made); /* also ends the operation */
    return code != CKR_OK ? code : result;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG length)
{
    CK_RV result = real->C_Login(session, user, pin, length);

    note(result == CKR_OK ? "login\n" : "refused\n");
    return result;
}

static CK_RV slot_list(CK_BBOOL with_token, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
    CK_RV result = real->C_GetSlotList(with_token, list, count);

    if (exists("absent"))
        *count = 0;
    return result;
}

static CK_RV mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
    char text[TEXT_BYTES], *end;

    for (const char *lacks = text_of("lacks", text); lacks && *lacks; lacks = *end ? end + 1 : end) {
        if (strtoul(lacks, &end, 0) == type)
            return CKR_MECHANISM_INVALID;
    }
    return real->C_GetMechanismInfo(slot, type, info);
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
    char text[TEXT_BYTES];
    const char *flags = text_of("flags", text);
    CK_RV result = real->C_GetTokenInfo(slot, info);

    if (result == CKR_OK && flags)
        info->flags |= strtoul(flags, NULL, 0);
    return result;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
    void *library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);

    if (!library || !(*(void **)&get = dlsym(library, "C_GetFunctionList")) || get(&real) != CKR_OK)
        return CKR_GENERAL_ERROR;
    changed = *real;
    changed.C_Sign = sign;
    changed.C_GetSlotList = slot_list;
    changed.C_Login = login;
    changed.C_GetMechanismInfo = mechanism_info;
    changed.C_GetTokenInfo = token_info;
    *list = &changed;
    return CKR_OK;
}
