#include "pki/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* Reads until the end of the line, or until one of `signals` is pending. The rest of a line that is too long
 * is lost. */
static void line_read(int fd, int signals, struct passphrase *passphrase)
{
    struct pollfd waits[] = { { .fd = fd, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
    char byte = 0;

    passphrase->length = 0;
    while (byte != '\n' && poll(waits, 2, -1) > 0 && !waits[1].revents && read(fd, &byte, 1) == 1) {
        if (byte != '\n' && passphrase->length < sizeof passphrase->bytes)
            passphrase->bytes[passphrase->length++] = byte;
    }
    if (byte != '\n')
        passphrase_wipe(passphrase);
    passphrase->given = passphrase->length > 0;
}

static void say(int fd, const char *text)
{
    ssize_t ignored = write(fd, text, strlen(text));

    (void)ignored;
}

bool terminal_ask(const char *question, struct passphrase *passphrase)
{
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios before, silent;
    sigset_t ending, blocked;

    *passphrase = (struct passphrase) { .given = false };
    if (fd < 0 || tcgetattr(fd, &before) != 0) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGQUIT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigaddset(&ending, SIGTSTP);
    sigprocmask(SIG_BLOCK, &ending, &blocked);
    int signals = signalfd(-1, &ending, SFD_CLOEXEC);
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fd, TCSAFLUSH, &silent);
    say(fd, question);
    line_read(fd, signals, passphrase);
    tcsetattr(fd, TCSAFLUSH, &before);
    say(fd, "\n");
    if (signals >= 0)
        close(signals);
    close(fd);
    sigprocmask(SIG_SETMASK, &blocked, NULL); /* a signal that is pending ends the process here */
    return passphrase->given;
}
