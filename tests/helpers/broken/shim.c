/* Has calls on chosen files fail, as a full or broken disk has them fail, and sets the clock that a program reads.

   It is loaded with LD_PRELOAD. IMAGEGATE_SHIM names a file of `struct control`, which the test maps as well, and
   changes while programs run: what fails, where, after how much, and how. Without that variable nothing changes.

   What does not pass through the C library's own names is not seen: system calls made directly, pages that are mapped,
   and what glibc's stdio flushes, of which `fwrite` and `fread` themselves are seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, CREATE = 2, CHANGE = 4, READ = 8, OPEN = 16, SYNC = 32, RENAME = 64 };

struct control {
  int64_t operations; /* those above that fail, as bits; 0: none */
  int64_t error;      /* errno of a call that fails; 0: it stops the process (SIGSTOP), and succeeds afterwards */
  int64_t after;      /* what is let through before: bytes of WRITE, calls of all others */
  int64_t used;       /* what was let through */
  int64_t times;      /* how many calls fail then */
  int64_t failed;     /* how many have failed */
  int64_t clock;      /* nanoseconds that are added to the time of day */
  char match[1024];   /* part of the path of the files */
};

static struct control *control;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("IMAGEGATE_SHIM");
  int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
  if (file < 0) return;
  void *place = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  syscall(SYS_close, file);
  if (place != MAP_FAILED) control = place;
}

#define NEXT(type, name, ...) \
  static type (*next)(__VA_ARGS__); \
  if (!next) next = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int concerns(int operation) { return control && (control->operations & operation); }

static int matches_path(int folder, const char *path) {
  char whole[2 * PATH_MAX], link[64];
  if (!path) return 0;
  if (path[0] == '/') return strstr(path, control->match) != NULL;
  snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, whole, PATH_MAX);
  if (length < 0) return 0;
  snprintf(whole + length, PATH_MAX, "/%s", path);
  return strstr(whole, control->match) != NULL;
}

static int matches_file(int file) {
  char link[64], whole[PATH_MAX + 1];
  int before = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, whole, PATH_MAX);
  errno = before;
  if (length < 0) return 0;
  whole[length] = 0;
  return strstr(whole, control->match) != NULL;
}

/* Whether a call that concerns a matching file fails. It lets `amount` through, or as much of it as still fits. */
static int fails(size_t *amount) {
  int64_t used = __atomic_fetch_add(&control->used, (int64_t)*amount, __ATOMIC_SEQ_CST);
  if (used + (int64_t)*amount <= control->after) return 0;
  if (used < control->after) {
    *amount = (size_t)(control->after - used);
    return 0;
  }
  if (__atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST) >= control->times) return 0;
  if (control->error == 0) {
    kill(getpid(), SIGSTOP);
    return 0;
  }
  errno = (int)control->error;
  return 1;
}

static int file_fails(int operation, int file) {
  size_t one = 1;
  return concerns(operation) && matches_file(file) && fails(&one);
}

static int path_fails(int operation, int folder, const char *path) {
  size_t one = 1;
  return concerns(operation) && matches_path(folder, path) && fails(&one);
}

static int write_fails(int file, size_t *count) { return concerns(WRITE) && *count && matches_file(file) && fails(count); }

/* A file that is not there yet needs room for its name; one that is opened to be written is changed. */
static int open_fails(int folder, const char *path, int flags) {
  if (!control || !control->operations) return 0;
  if ((flags & O_CREAT) && concerns(CREATE) && syscall(SYS_faccessat, folder, path, F_OK) != 0 &&
      path_fails(CREATE, folder, path))
    return 1;
  if ((flags & (O_CREAT | O_TRUNC)) || (flags & O_ACCMODE) != O_RDONLY) return path_fails(CHANGE, folder, path);
  return path_fails(OPEN, folder, path);
}

#define MODE(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list list; \
    va_start(list, flags); \
    mode = va_arg(list, mode_t); \
    va_end(list); \
  }

int open(const char *path, int flags, ...) {
  MODE(flags)
  NEXT(int, "open", const char *, int, ...);
  return open_fails(AT_FDCWD, path, flags) ? -1 : next(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE(flags)
  NEXT(int, "open64", const char *, int, ...);
  return open_fails(AT_FDCWD, path, flags) ? -1 : next(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
  MODE(flags)
  NEXT(int, "openat", int, const char *, int, ...);
  return open_fails(folder, path, flags) ? -1 : next(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
  MODE(flags)
  NEXT(int, "openat64", int, const char *, int, ...);
  return open_fails(folder, path, flags) ? -1 : next(folder, path, flags, mode);
}

static int flags_of(const char *mode) {
  int both = strchr(mode, '+') != NULL;
  if (mode[0] == 'r') return both ? O_RDWR : O_RDONLY;
  return O_CREAT | (both ? O_RDWR : O_WRONLY);
}

FILE *fopen(const char *path, const char *mode) {
  NEXT(FILE *, "fopen", const char *, const char *);
  return open_fails(AT_FDCWD, path, flags_of(mode)) ? NULL : next(path, mode);
}

FILE *fopen64(const char *path, const char *mode) {
  NEXT(FILE *, "fopen64", const char *, const char *);
  return open_fails(AT_FDCWD, path, flags_of(mode)) ? NULL : next(path, mode);
}

ssize_t write(int file, const void *data, size_t count) {
  NEXT(ssize_t, "write", int, const void *, size_t);
  return write_fails(file, &count) ? -1 : next(file, data, count);
}

ssize_t pwrite(int file, const void *data, size_t count, off_t place) {
  NEXT(ssize_t, "pwrite", int, const void *, size_t, off_t);
  return write_fails(file, &count) ? -1 : next(file, data, count, place);
}

ssize_t pwrite64(int file, const void *data, size_t count, off64_t place) {
  NEXT(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  return write_fails(file, &count) ? -1 : next(file, data, count, place);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  NEXT(ssize_t, "writev", int, const struct iovec *, int);
  if (!concerns(WRITE)) return next(file, parts, count);
  return count > 0 ? write(file, parts[0].iov_base, parts[0].iov_len) : next(file, parts, count);
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream) {
  NEXT(size_t, "fwrite", const void *, size_t, size_t, FILE *);
  size_t bytes = size * count;
  if (!bytes || !concerns(WRITE) || fileno(stream) < 0) return next(data, size, count, stream);
  if (write_fails(fileno(stream), &bytes)) return 0;
  if (bytes == size * count) return next(data, size, count, stream);
  size_t written = next(data, size, bytes / size, stream); /* unlike `write`, it is not called again for the rest */
  __atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST);
  errno = (int)control->error;
  return written;
}

ssize_t sendfile(int to, int from, off_t *place, size_t count) {
  NEXT(ssize_t, "sendfile", int, int, off_t *, size_t);
  return file_fails(READ, from) || write_fails(to, &count) ? -1 : next(to, from, place, count);
}

ssize_t sendfile64(int to, int from, off64_t *place, size_t count) {
  NEXT(ssize_t, "sendfile64", int, int, off64_t *, size_t);
  return file_fails(READ, from) || write_fails(to, &count) ? -1 : next(to, from, place, count);
}

ssize_t copy_file_range(int from, off64_t *begin, int to, off64_t *place, size_t count, unsigned flags) {
  NEXT(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
  return file_fails(READ, from) || write_fails(to, &count) ? -1 : next(from, begin, to, place, count, flags);
}

ssize_t read(int file, void *data, size_t count) {
  NEXT(ssize_t, "read", int, void *, size_t);
  return file_fails(READ, file) ? -1 : next(file, data, count);
}

ssize_t pread(int file, void *data, size_t count, off_t place) {
  NEXT(ssize_t, "pread", int, void *, size_t, off_t);
  return file_fails(READ, file) ? -1 : next(file, data, count, place);
}

ssize_t pread64(int file, void *data, size_t count, off64_t place) {
  NEXT(ssize_t, "pread64", int, void *, size_t, off64_t);
  return file_fails(READ, file) ? -1 : next(file, data, count, place);
}

ssize_t readv(int file, const struct iovec *parts, int count) {
  NEXT(ssize_t, "readv", int, const struct iovec *, int);
  return file_fails(READ, file) ? -1 : next(file, parts, count);
}

size_t fread(void *data, size_t size, size_t count, FILE *stream) {
  NEXT(size_t, "fread", void *, size_t, size_t, FILE *);
  return file_fails(READ, fileno(stream)) ? 0 : next(data, size, count, stream);
}

int fsync(int file) {
  NEXT(int, "fsync", int);
  return file_fails(SYNC, file) ? -1 : next(file);
}

int fdatasync(int file) {
  NEXT(int, "fdatasync", int);
  return file_fails(SYNC, file) ? -1 : next(file);
}

int mkdir(const char *path, mode_t mode) {
  NEXT(int, "mkdir", const char *, mode_t);
  if (concerns(CREATE | CHANGE) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0) return next(path, mode);
  return path_fails(CREATE | CHANGE, AT_FDCWD, path) ? -1 : next(path, mode);
}

int rename(const char *from, const char *to) {
  NEXT(int, "rename", const char *, const char *);
  return path_fails(RENAME | CHANGE, AT_FDCWD, to) ? -1 : next(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
  NEXT(int, "renameat", int, const char *, int, const char *);
  return path_fails(RENAME | CHANGE, to_folder, to) ? -1 : next(from_folder, from, to_folder, to);
}

int link(const char *from, const char *to) {
  NEXT(int, "link", const char *, const char *);
  return path_fails(CREATE | CHANGE, AT_FDCWD, to) ? -1 : next(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  NEXT(int, "linkat", int, const char *, int, const char *, int);
  return path_fails(CREATE | CHANGE, to_folder, to) ? -1 : next(from_folder, from, to_folder, to, flags);
}

int symlink(const char *target, const char *path) {
  NEXT(int, "symlink", const char *, const char *);
  return path_fails(CREATE | CHANGE, AT_FDCWD, path) ? -1 : next(target, path);
}

int unlink(const char *path) {
  NEXT(int, "unlink", const char *);
  return path_fails(CHANGE, AT_FDCWD, path) ? -1 : next(path);
}

int clock_gettime(clockid_t which, struct timespec *time) {
  NEXT(int, "clock_gettime", clockid_t, struct timespec *);
  int result = next(which, time);
  if (result == 0 && control && control->clock && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
    int64_t moved = (int64_t)time->tv_sec * 1000000000 + time->tv_nsec + control->clock;
    time->tv_sec = moved / 1000000000;
    time->tv_nsec = moved % 1000000000;
  }
  return result;
}

time_t time(time_t *place) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (place) *place = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *restrict place, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  place->tv_sec = now.tv_sec;
  place->tv_usec = now.tv_nsec / 1000;
  return 0;
}
