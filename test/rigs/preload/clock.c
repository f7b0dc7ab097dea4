/* A preload library that shows a program another wall clock, and another boot of the machine; its other clocks stay as they are.
 *
 *   CLOCK_SHIFT   a file of 8 bytes: int64, how many nanoseconds the wall clock is ahead; it may change at any time
 *   CLOCK_BOOT    a file that is read in the place of /proc/sys/kernel/random/boot_id
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000LL

static const volatile int64_t *shift;
static const char *boot;

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_open)(const char *, int, ...);
static int (*real_open64)(const char *, int, ...);

__attribute__((constructor)) static void begin(void) {
  real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  real_open = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
  real_open64 = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
  boot = getenv("CLOCK_BOOT");
  const char *file = getenv("CLOCK_SHIFT");
  if (!file) return;
  int fd = real_open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) abort();
  void *at = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (at == MAP_FAILED) abort();
  shift = at;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  if (!real_clock_gettime) begin();
  int result = real_clock_gettime(clock, t);
  if (result != 0 || !shift || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  int64_t ns = (int64_t)t->tv_sec * BILLION + t->tv_nsec + *shift;
  t->tv_sec = ns / BILLION;
  t->tv_nsec = ns % BILLION;
  return 0;
}

int gettimeofday(struct timeval *t, void *zone) {
  (void)zone;
  struct timespec now;
  int result = clock_gettime(CLOCK_REALTIME, &now);
  *t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return result;
}

time_t time(time_t *t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}

static const char *instead(const char *path) {
  return boot && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 ? boot : path;
}

int open(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  if (!real_open) begin();
  return real_open(instead(path), flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = va_arg(more, mode_t);
  va_end(more);
  if (!real_open64) begin();
  return real_open64(instead(path), flags, mode);
}
