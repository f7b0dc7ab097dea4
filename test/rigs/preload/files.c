/* A preload library that stands between a program and its files below one folder. It can do two things:
 *
 * Record: every operation is written down, so that a rig can rebuild the folder as a power cut at any moment would have left it.
 *   FILES_LOG      the log, outside of the folder; appended to
 *   FILES_SYNC_US  added to every sync, before it counts as finished: an answer that did not wait for its sync is then seen before it
 * Each record carries CLOCK_MONOTONIC before and after the call. The record of a sync is stamped and written before the program learns that
 * the sync is over; so whatever the program does because of it comes later on the same clock. Writing through a mapping or with copy calls
 * is not followed: it is recorded as "unsupported", which fails the rig.
 *
 * Fail: from now on as if the disk were full, broken or read-only, until told otherwise; or single calls on single files, by rules.
 *   FILES_FAULT    a control file: int32 fault (0 none, 1 full, 2 syncs fail, 3 read-only, 4 no space is reported but everything still
 *                  works), uint32 seed of what fails by chance, uint64 failures so far; from byte 64 on the rules (rules.h), if it is longer
 *
 *   FILES_DIR      the folder, absolute
 */
#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OP_OPEN = 1, OP_WRITE, OP_SYNC, OP_DIRSYNC, OP_RENAME, OP_UNLINK, OP_TRUNCATE, OP_MKDIR, OP_RMDIR, OP_UNSUPPORTED, OP_LINK };

/* Little endian, packed, followed by `length` bytes: a path, two paths with a zero between, or data. */
struct record {
  uint32_t length;
  uint32_t op;
  uint64_t before, after; /* ns */
  uint64_t handle;        /* of an open file, unique over processes */
  uint64_t offset;        /* of a write; the size of a truncate; the flags of an open (1 created or may have, 2 truncated) */
} __attribute__((packed));

#define MAX_FD 65536
static uint64_t handles[MAX_FD]; /* 0: not ours; DIR_BIT: a directory */
static char *dir_paths[MAX_FD];
static const char *paths[MAX_FD]; /* of what is ours, below the folder; kept for ever, there are few */
#define DIR_BIT (1ULL << 63)

static char root[PATH_MAX];
static size_t root_len;
static int log_fd = -1;
static uint64_t next_handle;
static long sync_us;

enum { FULL = 1, BROKEN, READ_ONLY, LOW };
#include "rules.h"
static struct control *control;

#define REAL(ret, name, args)         \
  typedef ret (*name##_fn) args;      \
  static name##_fn real_##name(void) {  \
    static name##_fn fn;              \
    if (!fn) fn = (name##_fn)dlsym(RTLD_NEXT, #name); \
    return fn;                        \
  }
REAL(int, open, (const char *, int, ...))
REAL(int, openat, (int, const char *, int, ...))
REAL(FILE *, fopen64, (const char *, const char *))
REAL(int, fileno, (FILE *))
REAL(int, close, (int))
REAL(ssize_t, read, (int, void *, size_t))
REAL(ssize_t, pread, (int, void *, size_t, off_t))
REAL(ssize_t, readv, (int, const struct iovec *, int))
REAL(ssize_t, preadv, (int, const struct iovec *, int, off_t))
REAL(ssize_t, write, (int, const void *, size_t))
REAL(ssize_t, pwrite, (int, const void *, size_t, off_t))
REAL(ssize_t, writev, (int, const struct iovec *, int))
REAL(ssize_t, pwritev, (int, const struct iovec *, int, off_t))
REAL(int, fsync, (int))
REAL(int, fdatasync, (int))
REAL(int, rename, (const char *, const char *))
REAL(int, unlink, (const char *))
REAL(int, rmdir, (const char *))
REAL(int, mkdir, (const char *, mode_t))
REAL(int, ftruncate, (int, off_t))
REAL(int, truncate, (const char *, off_t))
REAL(int, link, (const char *, const char *))
REAL(void *, mmap, (void *, size_t, int, int, int, off_t))
REAL(ssize_t, copy_file_range, (int, off64_t *, int, off64_t *, size_t, unsigned int))
REAL(ssize_t, sendfile, (int, int, off_t *, size_t))
REAL(int, fallocate, (int, int, off_t, off_t))
REAL(int, statfs64, (const char *, struct statfs64 *))

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

__attribute__((constructor)) static void begin(void) {
  const char *dir = getenv("FILES_DIR"), *log = getenv("FILES_LOG"), *us = getenv("FILES_SYNC_US"), *fault = getenv("FILES_FAULT");
  if (!dir) return;
  snprintf(root, sizeof root, "%s", dir);
  root_len = strlen(root);
  if (log) {
    int fd = real_open()(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 1000);
    if (log_fd < 0) log_fd = fd; else real_close()(fd);
  }
  if (fault) {
    int fd = real_open()(fault, O_RDWR | O_CLOEXEC);
    /* What lies behind the end of a shorter file, in its last page, is zero: no rules. */
    void *at = fd < 0 ? MAP_FAILED : real_mmap()(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) control = at;
    if (fd >= 0) real_close()(fd);
  }
  next_handle = ((uint64_t)getpid() << 24) + 1;
  sync_us = us ? atol(us) : 0;
}

enum { ON_WRITE, ON_CREATE, ON_REMOVE, ON_SYNC };

/* The error that an operation ends with now, or 0. */
static int failing(int on) {
  int mode = control ? __atomic_load_n(&control->mode, __ATOMIC_ACQUIRE) : 0, error = 0;
  if (mode == FULL && (on == ON_WRITE || on == ON_CREATE)) error = ENOSPC;
  else if (mode == BROKEN && on == ON_SYNC) error = EIO;
  else if (mode == READ_ONLY) error = EROFS;
  if (error) __atomic_fetch_add(&control->failures, 1, __ATOMIC_RELAXED);
  return error;
}
#define FAIL(on)              \
  do {                        \
    int error_ = failing(on); \
    if (error_) {             \
      errno = error_;         \
      return -1;              \
    }                         \
  } while (0)

/* Node closes its files by a system call that cannot be intercepted: what cannot be positioned is a socket that got the number since. */
static uint64_t handle_of(int fd) {
  if (fd < 0 || fd >= MAX_FD || !handles[fd]) return 0;
  if (lseek(fd, 0, SEEK_CUR) < 0) handles[fd] = 0;
  return handles[fd];
}

/* A call of a rule on an open file of ours, or on a name below the folder. */
static int rule_of_fd(int fd, uint32_t call) { return control && handle_of(fd) ? ruled(control, call, paths[fd], NULL) : 0; }
static const char *below(const char *mine) { return mine[root_len] == '/' ? mine + root_len + 1 : ""; }
#define RULED(error)    \
  do {                  \
    int ruled_ = error; \
    if (ruled_) {       \
      errno = ruled_;   \
      return -1;        \
    }                   \
  } while (0)

/* One copy of each path; the list only grows, so that a reader needs no lock. */
static const char *kept(const char *path) {
  static struct name { struct name *next; char text[]; } *names;
  struct name *first = __atomic_load_n(&names, __ATOMIC_ACQUIRE);
  for (struct name *n = first; n; n = n->next)
    if (strcmp(n->text, path) == 0) return n->text;
  struct name *n = malloc(sizeof *n + strlen(path) + 1);
  if (!n) return NULL;
  strcpy(n->text, path);
  do n->next = first;
  while (!__atomic_compare_exchange_n(&names, &first, n, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  return n->text;
}

/* A full disk takes the first half of one write before it refuses. */
static int half_taken;
static size_t room(size_t length) {
  if (!control || __atomic_load_n(&control->mode, __ATOMIC_ACQUIRE) != FULL) {
    half_taken = 0;
    return length;
  }
  return __atomic_exchange_n(&half_taken, 1, __ATOMIC_ACQ_REL) || length < 2 ? 0 : length / 2;
}

static void put(uint32_t op, uint64_t before, uint64_t handle, uint64_t offset, const void *data, size_t length) {
  if (log_fd < 0) return;
  int keep = errno;
  struct record r = {(uint32_t)length, op, before, now(), handle, offset};
  struct iovec v[2] = {{&r, sizeof r}, {(void *)data, length}};
  /* One call in append mode: records of several threads do not mix. */
  if (real_writev()(log_fd, v, 2) != (ssize_t)(sizeof r + length)) {
    static const char text[] = "files.c: the log cannot be written\n";
    (void)!real_write()(2, text, sizeof text - 1);
    _exit(97);
  }
  errno = keep;
}

/* The absolute path if it is the folder or below it. */
static const char *ours(int at, const char *path, char *buffer) {
  if (!root_len || !path) return NULL;
  if (path[0] != '/') {
    char base[PATH_MAX];
    if (at == AT_FDCWD) {
      if (!getcwd(base, sizeof base)) return NULL;
    } else {
      if (at < 0 || at >= MAX_FD || !(handles[at] & DIR_BIT) || !dir_paths[at]) return NULL;
      snprintf(base, sizeof base, "%s", dir_paths[at]);
    }
    if (snprintf(buffer, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return NULL;
  } else snprintf(buffer, PATH_MAX, "%s", path);
  if (strncmp(buffer, root, root_len) != 0 || (buffer[root_len] != '/' && buffer[root_len] != 0)) return NULL;
  return buffer;
}

static void opened(int fd, int flags, int was_there, uint64_t before, const char *path) {
  if (fd < 0 || fd >= MAX_FD || !path) return;
  struct stat s;
  if (fstat(fd, &s) != 0) return;
  paths[fd] = kept(below(path));
  if (S_ISDIR(s.st_mode)) {
    free(dir_paths[fd]);
    dir_paths[fd] = strdup(path);
    handles[fd] = DIR_BIT;
    return;
  }
  uint64_t handle = __atomic_fetch_add(&next_handle, 1, __ATOMIC_RELAXED);
  int truncated = (flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY;
  put(OP_OPEN, before, handle, ((flags & O_CREAT) && !was_there ? 1 : 0) | (truncated ? 2 : 0), path, strlen(path));
  handles[fd] = handle;
}

static int do_open(int at, const char *path, int flags, mode_t mode) {
  char buffer[PATH_MAX];
  const char *mine = ours(at, path, buffer);
  uint64_t before = mine ? now() : 0;
  struct stat s;
  int was_there = mine ? stat(mine, &s) == 0 : 0;
  if (mine && (flags & O_CREAT) && !was_there) FAIL(ON_CREATE);
  if (mine && (flags & O_ACCMODE) != O_RDONLY && control && control->mode == READ_ONLY) FAIL(ON_WRITE);
  int64_t cut = -1;
  if (mine) RULED(ruled(control, CALL_OPEN, below(mine), &cut));
  if (cut >= 0) (void)!real_truncate()(mine, cut);
  int fd = real_openat()(at, path, flags, mode);
  if (mine) opened(fd, flags, was_there, before, mine);
  else if (fd >= 0 && fd < MAX_FD) handles[fd] = 0;
  return fd;
}

#define MODE(flags)                               \
  mode_t mode = 0;                                \
  if ((flags) & (O_CREAT | O_TMPFILE)) {          \
    va_list a;                                    \
    va_start(a, flags);                           \
    mode = va_arg(a, mode_t);                     \
    va_end(a);                                    \
  }
int open(const char *path, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return do_open(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return do_open(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return do_open(at, path, flags | O_LARGEFILE, mode); }
int __open_2(const char *path, int flags) { return do_open(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return do_open(AT_FDCWD, path, flags | O_LARGEFILE, 0); }
int __openat_2(int at, const char *path, int flags) { return do_open(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return do_open(at, path, flags | O_LARGEFILE, 0); }
int creat(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
  if (fd == log_fd && fd >= 0) return 0;
  if (handle_of(fd)) handles[fd] = 0;
  return real_close()(fd);
}

ssize_t read(int fd, void *data, size_t length) {
  RULED(rule_of_fd(fd, CALL_READ));
  return real_read()(fd, data, length);
}
static ssize_t do_pread(int fd, void *data, size_t length, off_t offset) {
  RULED(rule_of_fd(fd, CALL_READ));
  return real_pread()(fd, data, length, offset);
}
ssize_t pread(int fd, void *data, size_t length, off_t offset) { return do_pread(fd, data, length, offset); }
ssize_t pread64(int fd, void *data, size_t length, off64_t offset) { return do_pread(fd, data, length, offset); }
ssize_t __read_chk(int fd, void *data, size_t length, size_t room) { return length > room ? -1 : read(fd, data, length); }
ssize_t __pread_chk(int fd, void *data, size_t length, off_t offset, size_t room) { return length > room ? -1 : do_pread(fd, data, length, offset); }
ssize_t __pread64_chk(int fd, void *data, size_t length, off64_t offset, size_t room) { return length > room ? -1 : do_pread(fd, data, length, offset); }
ssize_t readv(int fd, const struct iovec *v, int count) {
  RULED(rule_of_fd(fd, CALL_READ));
  return real_readv()(fd, v, count);
}
ssize_t preadv(int fd, const struct iovec *v, int count, off_t offset) {
  RULED(rule_of_fd(fd, CALL_READ));
  return real_preadv()(fd, v, count, offset);
}
ssize_t preadv64(int fd, const struct iovec *v, int count, off64_t offset) { return preadv(fd, v, count, offset); }

ssize_t write(int fd, const void *data, size_t length) {
  uint64_t handle = handle_of(fd);
  if (!handle) return real_write()(fd, data, length);
  uint64_t before = now();
  size_t some = room(length);
  if (some == 0 || some == length) FAIL(ON_WRITE);
  RULED(rule_of_fd(fd, CALL_WRITE));
  ssize_t n = real_write()(fd, data, some > 0 ? some : length);
  if (n > 0) put(OP_WRITE, before, handle, (uint64_t)(lseek(fd, 0, SEEK_CUR) - n), data, (size_t)n);
  return n;
}

static ssize_t do_pwrite(int fd, const void *data, size_t length, off_t offset) {
  uint64_t handle = handle_of(fd), before = handle ? now() : 0;
  if (handle) FAIL(ON_WRITE);
  RULED(rule_of_fd(fd, CALL_WRITE));
  ssize_t n = real_pwrite()(fd, data, length, offset);
  if (handle && n > 0) put(OP_WRITE, before, handle, (uint64_t)offset, data, (size_t)n);
  return n;
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return do_pwrite(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return do_pwrite(fd, data, length, offset); }

static void put_vector(uint64_t before, uint64_t handle, off_t offset, const struct iovec *v, int count, ssize_t n) {
  for (int i = 0; i < count && n > 0; i++) {
    size_t part = v[i].iov_len < (size_t)n ? v[i].iov_len : (size_t)n;
    put(OP_WRITE, before, handle, (uint64_t)offset, v[i].iov_base, part);
    offset += (off_t)part;
    n -= (ssize_t)part;
  }
}
ssize_t writev(int fd, const struct iovec *v, int count) {
  uint64_t handle = handle_of(fd), before = handle ? now() : 0;
  if (handle) FAIL(ON_WRITE);
  RULED(rule_of_fd(fd, CALL_WRITE));
  ssize_t n = real_writev()(fd, v, count);
  if (handle && n > 0) put_vector(before, handle, lseek(fd, 0, SEEK_CUR) - n, v, count, n);
  return n;
}
static ssize_t do_pwritev(int fd, const struct iovec *v, int count, off_t offset) {
  uint64_t handle = handle_of(fd), before = handle ? now() : 0;
  if (handle) FAIL(ON_WRITE);
  RULED(rule_of_fd(fd, CALL_WRITE));
  ssize_t n = real_pwritev()(fd, v, count, offset);
  if (handle && n > 0) put_vector(before, handle, offset, v, count, n);
  return n;
}
ssize_t pwritev(int fd, const struct iovec *v, int count, off_t offset) { return do_pwritev(fd, v, count, offset); }
ssize_t pwritev64(int fd, const struct iovec *v, int count, off64_t offset) { return do_pwritev(fd, v, count, offset); }

static int synced(int fd, uint64_t before, int result) {
  uint64_t handle = handle_of(fd);
  if (!handle || result != 0) return result;
  if (sync_us > 0) {
    struct timespec t = {sync_us / 1000000, (sync_us % 1000000) * 1000};
    nanosleep(&t, NULL);
  }
  if (handle & DIR_BIT) put(OP_DIRSYNC, before, 0, 0, dir_paths[fd], strlen(dir_paths[fd]));
  else put(OP_SYNC, before, handle, 0, "", 0);
  return result;
}
int fsync(int fd) {
  uint64_t before = now();
  if (handle_of(fd)) FAIL(ON_SYNC);
  RULED(rule_of_fd(fd, CALL_SYNC));
  return synced(fd, before, real_fsync()(fd));
}
int fdatasync(int fd) {
  uint64_t before = now();
  if (handle_of(fd)) FAIL(ON_SYNC);
  RULED(rule_of_fd(fd, CALL_SYNC));
  return synced(fd, before, real_fdatasync()(fd));
}

/* LevelDB may write through stdio, whose own calls cannot be intercepted: such a file becomes a stream on our functions above. */
#define MAX_STREAMS 1024
static struct { FILE *stream; int fd; } streams[MAX_STREAMS];

static ssize_t stream_read(void *cookie, char *data, size_t length) { return read((int)(intptr_t)cookie, data, length); }
static ssize_t stream_write(void *cookie, const char *data, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t n = write((int)(intptr_t)cookie, data + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return done > 0 ? (ssize_t)done : 0; /* 0 is how a stream on functions reports an error */
    done += (size_t)n;
  }
  return (ssize_t)done;
}
static int stream_seek(void *cookie, off64_t *offset, int whence) {
  off64_t at = lseek64((int)(intptr_t)cookie, *offset, whence);
  if (at < 0) return -1;
  *offset = at;
  return 0;
}
static int stream_close(void *cookie) {
  int fd = (int)(intptr_t)cookie;
  for (int i = 0; i < MAX_STREAMS; i++)
    if (__atomic_load_n(&streams[i].stream, __ATOMIC_ACQUIRE) && streams[i].fd == fd) __atomic_store_n(&streams[i].stream, NULL, __ATOMIC_RELEASE);
  return close(fd);
}
FILE *fopen64(const char *path, const char *mode) {
  char buffer[PATH_MAX];
  int reads = mode[0] == 'r' && !strchr(mode, '+');
  if (!ours(AT_FDCWD, path, buffer) || (reads ? !control : mode[0] != 'w' && mode[0] != 'a')) return real_fopen64()(path, mode);
  int flags = strchr(mode, 'e') ? O_CLOEXEC : 0;
  if (!reads) flags |= O_CREAT | (mode[0] == 'w' ? O_TRUNC : O_APPEND) | (strchr(mode, '+') ? O_RDWR : O_WRONLY);
  int fd = do_open(AT_FDCWD, path, flags, 0666);
  if (fd < 0) return NULL;
  FILE *stream = fopencookie((void *)(intptr_t)fd, mode, (cookie_io_functions_t){stream_read, stream_write, stream_seek, stream_close});
  for (int i = 0; stream && i < MAX_STREAMS; i++) {
    FILE *none = NULL;
    if (!__atomic_compare_exchange_n(&streams[i].stream, &none, stream, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
    streams[i].fd = fd;
    return stream;
  }
  close(fd);
  errno = EMFILE;
  return NULL;
}
FILE *fopen(const char *path, const char *mode) { return fopen64(path, mode); }
int fileno(FILE *stream) {
  for (int i = 0; i < MAX_STREAMS; i++)
    if (__atomic_load_n(&streams[i].stream, __ATOMIC_ACQUIRE) == stream) return streams[i].fd;
  return real_fileno()(stream);
}

static void put_two(uint32_t op, uint64_t before, const char *from, const char *to) {
  char both[2 * PATH_MAX + 1];
  size_t a = strlen(from), b = strlen(to);
  memcpy(both, from, a + 1);
  memcpy(both + a + 1, to, b);
  put(op, before, 0, 0, both, a + 1 + b);
}
int rename(const char *from, const char *to) {
  char x[PATH_MAX], y[PATH_MAX];
  const char *mine_from = ours(AT_FDCWD, from, x), *mine_to = ours(AT_FDCWD, to, y);
  uint64_t before = now();
  if (mine_to) FAIL(ON_REMOVE);
  if (mine_to) RULED(ruled(control, CALL_RENAME, below(mine_to), NULL));
  int result = real_rename()(from, to);
  if (result == 0 && mine_from && mine_to) put_two(OP_RENAME, before, mine_from, mine_to);
  else if (result == 0 && (mine_from || mine_to)) put(OP_UNSUPPORTED, before, 0, 0, "rename over the border", 22);
  return result;
}
int link(const char *from, const char *to) {
  char x[PATH_MAX], y[PATH_MAX];
  const char *mine_from = ours(AT_FDCWD, from, x), *mine_to = ours(AT_FDCWD, to, y);
  uint64_t before = now();
  if (mine_to) FAIL(ON_CREATE);
  if (mine_to) RULED(ruled(control, CALL_RENAME, below(mine_to), NULL));
  int result = real_link()(from, to);
  if (result == 0 && mine_from && mine_to) put_two(OP_LINK, before, mine_from, mine_to);
  else if (result == 0 && mine_to) put(OP_UNSUPPORTED, before, 0, 0, "link over the border", 20);
  return result;
}

static int one_path(uint32_t op, const char *path, int (*call)(const char *)) {
  char buffer[PATH_MAX];
  const char *mine = ours(AT_FDCWD, path, buffer);
  uint64_t before = mine ? now() : 0;
  if (mine) FAIL(ON_REMOVE);
  int result = call(path);
  if (result == 0 && mine) put(op, before, 0, 0, mine, strlen(mine));
  return result;
}
int unlink(const char *path) {
  char buffer[PATH_MAX];
  const char *mine = ours(AT_FDCWD, path, buffer);
  if (mine) RULED(ruled(control, CALL_UNLINK, below(mine), NULL));
  return one_path(OP_UNLINK, path, real_unlink());
}
int rmdir(const char *path) { return one_path(OP_RMDIR, path, real_rmdir()); }
int mkdir(const char *path, mode_t mode) {
  char buffer[PATH_MAX];
  const char *mine = ours(AT_FDCWD, path, buffer);
  uint64_t before = now();
  struct stat s;
  if (mine && stat(mine, &s) != 0) FAIL(ON_CREATE);
  int result = real_mkdir()(path, mode);
  if (result == 0 && mine) put(OP_MKDIR, before, 0, 0, mine, strlen(mine));
  return result;
}

static int do_ftruncate(int fd, off_t size) {
  uint64_t handle = handle_of(fd), before = now();
  if (handle) FAIL(ON_REMOVE);
  int result = real_ftruncate()(fd, size);
  if (handle && result == 0) put(OP_TRUNCATE, before, handle, (uint64_t)size, "", 0);
  return result;
}
int ftruncate(int fd, off_t size) { return do_ftruncate(fd, size); }
int ftruncate64(int fd, off64_t size) { return do_ftruncate(fd, size); }

static void unsupported_fd(int fd, const char *what) {
  if (handle_of(fd)) put(OP_UNSUPPORTED, now(), 0, 0, what, strlen(what));
}
int truncate(const char *path, off_t size) {
  char buffer[PATH_MAX];
  if (ours(AT_FDCWD, path, buffer)) put(OP_UNSUPPORTED, now(), 0, 0, "truncate", 8);
  return real_truncate()(path, size);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  if ((protection & PROT_WRITE) && (flags & MAP_SHARED)) unsupported_fd(fd, "mmap");
  int error = rule_of_fd(fd, CALL_MMAP);
  if (error) {
    errno = error;
    return MAP_FAILED;
  }
  return real_mmap()(at, length, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
  return mmap(at, length, protection, flags, fd, offset);
}
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned int flags) {
  unsupported_fd(out, "copy_file_range");
  return real_copy_file_range()(in, in_at, out, out_at, length, flags);
}
ssize_t sendfile(int out, int in, off_t *offset, size_t length) {
  unsupported_fd(out, "sendfile");
  return real_sendfile()(out, in, offset, length);
}
int fallocate(int fd, int mode, off_t offset, off_t length) {
  unsupported_fd(fd, "fallocate");
  return real_fallocate()(fd, mode, offset, length);
}

/* A program that asks for free space is told about the full disk too. */
int statfs64(const char *path, struct statfs64 *s) {
  char buffer[PATH_MAX];
  int result = real_statfs64()(path, s);
  int mode = control ? __atomic_load_n(&control->mode, __ATOMIC_ACQUIRE) : 0;
  if (result == 0 && (mode == FULL || mode == LOW) && ours(AT_FDCWD, path, buffer)) s->f_bfree = s->f_bavail = 0;
  return result;
}
int statfs(const char *path, struct statfs *s) { return statfs64(path, (struct statfs64 *)s); }
