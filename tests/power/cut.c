/* Stands between a program and its disk (LD_PRELOAD, glibc).
 *
 * Every call that changes something below a folder is written to a journal, in
 * the order in which it took effect; so are the lines the program writes to its
 * standard error, which tell what it had acknowledged by then. From a journal
 * the tests compute what a disk may hold after a power cut at any place in it.
 *
 * Calls are counted from 1, syncs included, lines not. One of them can be the
 * last of the process, and calls can fail. `sync_file_range` is left alone: it
 * makes nothing durable. Memory maps are not seen: SQLite's -shm file, which
 * does not outlive a crash anyway.
 *
 *   POWER_ROOT     the folder, absolute and without links
 *   POWER_JOURNAL  where the journal goes; journal.rs reads it
 *   POWER_CUT_AT   the call that is journalled, but kills the process instead
 *   POWER_FAIL_AT  the first call that may fail
 *   POWER_FAIL     the error number: EIO, or ENOSPC for calls that need room
 *   POWER_FAIL_ONCE   set: only one call fails
 *   POWER_FAIL_SYNCS  set: only syncs fail
 *   POWER_FAIL_IN     only below paths that start so, within the folder
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE, TRUNCATE, CREATE, MKDIR, RENAME, UNLINK, SYNC, SAID };

/* One entry: this, then the path, the second path and the bytes. */
struct entry {
    uint32_t kind, failed, path, other, bytes, unused;
    uint64_t inode, at;
};

static pthread_mutex_t one = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static const char *root, *fails_in;
static int journal = -1, fail_with, fails_once, fails_syncs, has_failed, wrote_short;
static long calls, cut_at, fail_at;

#define REAL(name, type, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static long number(const char *name) { return getenv(name) ? atol(getenv(name)) : 0; }

__attribute__((constructor)) static void start(void) {
    const char *to = getenv("POWER_JOURNAL");
    if (!to || !getenv("POWER_ROOT")) return;
    int file = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    journal = fcntl(file, F_DUPFD_CLOEXEC, 700);
    syscall(SYS_close, file);
    root = getenv("POWER_ROOT");
    fails_in = getenv("POWER_FAIL_IN");
    cut_at = number("POWER_CUT_AT");
    fail_at = number("POWER_FAIL_AT");
    fail_with = number("POWER_FAIL");
    fails_once = getenv("POWER_FAIL_ONCE") != NULL;
    fails_syncs = getenv("POWER_FAIL_SYNCS") != NULL;
}

/* The path of a call, from the root, if it is below the folder. */
static int below(char *full, const char *path) {
    char here[PATH_MAX];
    if (journal < 0) return 0;
    if (path[0] == '/') snprintf(full, PATH_MAX, "%s", path);
    else if (getcwd(here, sizeof here)) snprintf(full, PATH_MAX, "%.2000s/%.2000s", here, path);
    else return 0;
    size_t length = strlen(root);
    return !strncmp(full, root, length) && (full[length] == '/' || !full[length]);
}

static int open_below(char *full, int file) {
    char link[40], path[PATH_MAX];
    if (journal < 0 || file < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return below(full, path);
}

static void tell(int kind, int failed, const char *path, const char *other, uint64_t inode, uint64_t at,
                 const void *bytes, size_t length) {
    struct entry entry = {kind, failed, strlen(path), strlen(other), length, 0, inode, at};
    struct iovec parts[] = {{&entry, sizeof entry}, {(void *)path, entry.path}, {(void *)other, entry.other},
                            {(void *)bytes, length}};
    syscall(SYS_writev, journal, parts, 4);
}

static uint64_t inode_of(int file) {
    struct stat of;
    return fstat(file, &of) ? 0 : of.st_ino;
}

static int due(void) { return ++calls == cut_at; }

static void cut(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether a call has to fail; sets errno then. */
static int fails(int kind, const char *path) {
    int in = !fails_in || !strncmp(path + strlen(root) + 1, fails_in, strlen(fails_in));
    int can = fails_syncs ? kind == SYNC : fail_with != ENOSPC || (kind != UNLINK && kind != SYNC);
    if (!fail_with || calls < fail_at || !in || !can || (fails_once && has_failed)) return 0;
    has_failed = 1;
    errno = fail_with;
    return 1;
}

/* A full disk takes the first half of what it is given, and then nothing. */
static size_t room(size_t length, const char *path) {
    if (fail_with != ENOSPC || wrote_short || length < 2 || !fails(WRITE, path)) return length;
    has_failed = 0;
    wrote_short = 1;
    return length / 2;
}

static ssize_t put(int file, const char *path, const void *bytes, size_t length, int64_t at) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, int64_t);
    uint64_t inode = inode_of(file);
    if (due()) { tell(WRITE, 0, path, "", inode, at, bytes, length); cut(); }
    size_t fits = room(length, path);
    if (fits == length && fails(WRITE, path)) return -1;
    ssize_t done = real(file, bytes, fits, at);
    if (done > 0) tell(WRITE, 0, path, "", inode, at, bytes, done);
    return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, off64_t);
    char path[PATH_MAX];
    if (!open_below(path, file)) return real(file, bytes, length, at);
    pthread_mutex_lock(&one);
    ssize_t done = put(file, path, bytes, length, at);
    pthread_mutex_unlock(&one);
    return done;
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) { return pwrite64(file, bytes, length, at); }

ssize_t write(int file, const void *bytes, size_t length) {
    REAL("write", ssize_t, int, const void *, size_t);
    char path[PATH_MAX];
    if (file == 2 && journal >= 0) {
        pthread_mutex_lock(&one);
        tell(SAID, 0, "", "", 0, 0, bytes, length);
        pthread_mutex_unlock(&one);
    }
    if (!open_below(path, file)) return real(file, bytes, length);
    pthread_mutex_lock(&one);
    int appends = fcntl(file, F_GETFL) & O_APPEND;
    off64_t at = lseek64(file, 0, appends ? SEEK_END : SEEK_CUR);
    ssize_t done = put(file, path, bytes, length, at);
    if (done > 0) lseek64(file, at + done, SEEK_SET);
    pthread_mutex_unlock(&one);
    return done;
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL("writev", ssize_t, int, const struct iovec *, int);
    char path[PATH_MAX];
    if (!open_below(path, file)) return real(file, parts, count);
    /* It may write less than it was given. */
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len) return write(file, parts[i].iov_base, parts[i].iov_len);
    return 0;
}

int ftruncate64(int file, off64_t length) {
    REAL("ftruncate64", int, int, off64_t);
    char path[PATH_MAX];
    if (!open_below(path, file)) return real(file, length);
    pthread_mutex_lock(&one);
    int last = due(), result = -1, failed = !last && fails(TRUNCATE, path);
    if (!failed) {
        tell(TRUNCATE, 0, path, "", inode_of(file), length, "", 0);
        if (last) cut();
        result = real(file, length);
    }
    pthread_mutex_unlock(&one);
    return result;
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

static int sync_with(int (*real)(int), int file) {
    char path[PATH_MAX];
    if (!open_below(path, file)) return real(file);
    pthread_mutex_lock(&one);
    /* A sync that never came back promised nothing. */
    if (due()) cut();
    int result = fails(SYNC, path) ? -1 : real(file);
    tell(SYNC, result ? errno : 0, path, "", inode_of(file), 0, "", 0);
    pthread_mutex_unlock(&one);
    return result;
}

int fsync(int file) {
    REAL("fsync", int, int);
    return sync_with(real, file);
}

int fdatasync(int file) {
    REAL("fdatasync", int, int);
    return sync_with(real, file);
}

static int named(int kind, const char *path, const char *other, int (*real)(const char *, const char *, mode_t),
                 mode_t mode) {
    char from[PATH_MAX], to[PATH_MAX] = "";
    int in = below(from, path);
    if (other && !below(to, other)) in = 0;
    if (!in) return real(path, other, mode);
    pthread_mutex_lock(&one);
    int last = due(), result = -1;
    if (last) { tell(kind, 0, from, to, 0, 0, "", 0); cut(); }
    if (!fails(kind, from)) result = real(path, other, mode);
    if (!result) tell(kind, 0, from, to, 0, 0, "", 0);
    pthread_mutex_unlock(&one);
    return result;
}

static int really_rename(const char *from, const char *to, mode_t mode) {
    (void)mode;
    REAL("rename", int, const char *, const char *);
    return real(from, to);
}

static int really_unlink(const char *path, const char *other, mode_t mode) {
    (void)other, (void)mode;
    REAL("unlink", int, const char *);
    return real(path);
}

static int really_mkdir(const char *path, const char *other, mode_t mode) {
    (void)other;
    REAL("mkdir", int, const char *, mode_t);
    return real(path, mode);
}

int rename(const char *from, const char *to) { return named(RENAME, from, to, really_rename, 0); }

int unlink(const char *path) { return named(UNLINK, path, NULL, really_unlink, 0); }

int mkdir(const char *path, mode_t mode) { return named(MKDIR, path, NULL, really_mkdir, mode); }

int open64(const char *path, int flags, ...) {
    REAL("open64", int, const char *, int, ...);
    mode_t mode = 0;
    char full[PATH_MAX];
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    if (!(flags & (O_CREAT | O_TRUNC)) || !below(full, path)) return real(path, flags, mode);
    pthread_mutex_lock(&one);
    struct stat of;
    int is_new = stat(full, &of) != 0, kind = is_new ? CREATE : TRUNCATE;
    int changes = (is_new && (flags & O_CREAT)) || (!is_new && (flags & O_TRUNC) && of.st_size);
    int file = -1;
    if (!changes) file = real(path, flags, mode);
    else if (due()) cut();
    else if (!fails(kind, full) && (file = real(path, flags, mode)) >= 0)
        tell(kind, 0, full, "", inode_of(file), 0, "", 0);
    pthread_mutex_unlock(&one);
    return file;
}

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return open64(path, flags, mode);
}
