/* A preload library that gives a program another boot id: to the program the machine went down and came up again.
 *
 *   BOOT_FILE  what is opened instead of the kernel's own
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *answer(const char *path) {
  const char *file = getenv("BOOT_FILE");
  return file && path && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 ? file : path;
}

#define OPEN(name)                                                                 \
  int name(const char *path, int flags, ...) {                                     \
    static int (*real)(const char *, int, ...);                                    \
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name);    \
    va_list a;                                                                     \
    va_start(a, flags);                                                            \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(a, mode_t) : 0;           \
    va_end(a);                                                                     \
    return real(answer(path), flags, mode);                                        \
  }
OPEN(open)
OPEN(open64)
