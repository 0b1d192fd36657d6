/* A disk under a process, as LD_PRELOAD: it records what the process does to its files, and fails calls on demand.
 *
 *   cc -shared -fPIC -O2 -o disk.so disk.c -lpthread
 *
 * Recording
 *   DISK_BELOW=/dir      only what lies below this directory, given as the system spells it (no link in it)
 *   DISK_TRACE=/file     records are appended to it, in the order in which they took effect: calls below the directory
 *                        are made one at a time. The format is read by trace.rs.
 *   DISK_STOP_AT=n       the process ends, as killed, before its n-th change, counted from 1
 *   A write to a file named `.marks` below the directory becomes a mark in the trace and is not done.
 *
 * Faults
 *   DISK_FAULTS=/file    a file that may be absent or empty, and may change while the process runs. Each line is
 *                          CALL ERROR COUNT [PREFIX [kept]]
 *                        CALL    a function without its 64 (open, pwrite, write, writev, ftruncate, fsync, fdatasync,
 *                                sync_file_range, rename, link, unlink, rmdir, mkdir; the ..at functions count as these),
 *                                or `sync` (the first two of the syncs), or `change` (all that writes), or `*` (all;
 *                                also an open that only reads)
 *                        ERROR   EIO, ENOSPC, EROFS, EACCES, EDQUOT, a number, or SLOW=milliseconds: late, then done
 *                        COUNT   how many calls; -1: all until the file changes
 *                        PREFIX  paths that begin like this; none: every file of a file system (no pipes, no sockets)
 *                        kept    the call is made, and its error reported all the same
 *                        The first line that fits is used. Counts start anew whenever the file changes: replace it by a
 *                        rename, or write it in one go.
 *   Without DISK_FAULTS and DISK_TRACE every call goes straight to the system.
 *
 * sync_file_range is recorded as what it is: no barrier.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PATH 4096

static const char *below, *faults_file;
static size_t below_length;
static int trace = -1;
static long stop_at, changes;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

struct fault {
    char call[24], prefix[PATH];
    int error, slow, kept;
    long left;
};
static struct fault faults[32];
static int fault_count;
static struct timespec faults_changed;
static ino_t faults_inode;
static off_t faults_size;
static pthread_mutex_t faults_lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void start(void) {
    const char *file = getenv("DISK_TRACE"), *stop = getenv("DISK_STOP_AT");
    faults_file = getenv("DISK_FAULTS");
    below = getenv("DISK_BELOW");
    if (!file || !below) return;
    below_length = strlen(below);
    stop_at = stop ? atol(stop) : 0;
    trace = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0) abort();
}

/* --- paths */

static int path_of_fd(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return path[0] == '/';
}

static int path_at(int directory, const char *name, char *path) {
    if (name[0] == '/') return snprintf(path, PATH, "%s", name) < PATH;
    char base[PATH];
    if (directory == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of_fd(directory, base)) return 0;
    if (strlen(base) + strlen(name) + 2 > PATH) return 0;
    strcpy(path, base);
    strcat(strcat(path, "/"), name);
    return 1;
}

static int is_below(const char *path) {
    return trace >= 0 && !strncmp(path, below, below_length) && (path[below_length] == '/' || !path[below_length]);
}

static const char *relative(const char *path) { return path[below_length] ? path + below_length + 1 : "."; }

/* --- faults */

static int number_of(const char *name) {
    static const struct { const char *name; int number; } known[] = {
        {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}, {"EACCES", EACCES}, {"EDQUOT", EDQUOT}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(name, known[i].name)) return known[i].number;
    return atoi(name);
}

static void read_faults(void) {
    struct stat now;
    if (syscall(SYS_newfstatat, AT_FDCWD, faults_file, &now, 0)) { fault_count = 0; faults_inode = 0; return; }
    if (now.st_ino == faults_inode && now.st_size == faults_size && now.st_mtim.tv_sec == faults_changed.tv_sec &&
        now.st_mtim.tv_nsec == faults_changed.tv_nsec)
        return;
    faults_inode = now.st_ino, faults_size = now.st_size, faults_changed = now.st_mtim;
    fault_count = 0;
    char text[8192], error[24], kept[8], *rest = text;
    int fd = syscall(SYS_openat, AT_FDCWD, faults_file, O_RDONLY | O_CLOEXEC, 0);
    ssize_t length = fd < 0 ? 0 : syscall(SYS_read, fd, text, sizeof text - 1);
    if (fd >= 0) syscall(SYS_close, fd);
    text[length > 0 ? length : 0] = 0;
    for (char *line; fault_count < 32 && (line = strsep(&rest, "\n"));) {
        struct fault *fault = &faults[fault_count];
        *kept = *fault->prefix = 0;
        if (sscanf(line, "%23s %23s %ld %4095s %7s", fault->call, error, &fault->left, fault->prefix, kept) < 3) continue;
        fault->slow = strncmp(error, "SLOW=", 5) ? 0 : atoi(error + 5);
        fault->error = fault->slow ? 0 : number_of(error);
        fault->kept = !strcmp(kept, "kept");
        fault_count++;
    }
}

enum kind { READS, CHANGES, SYNCS, RANGES };

static int fits(const struct fault *fault, const char *call, enum kind kind, const char *path) {
    int named = !strcmp(fault->call, call) || !strcmp(fault->call, "*") ||
                (!strcmp(fault->call, "change") && kind == CHANGES) || (!strcmp(fault->call, "sync") && kind == SYNCS);
    return fault->left && named && path[0] == '/' && !strncmp(path, fault->prefix, strlen(fault->prefix));
}

/* The error to return, or 0. `*kept`: after the call was made. */
static int fault_for(const char *call, enum kind kind, const char *path, int *kept) {
    *kept = 0;
    if (!faults_file) return 0;
    int error = 0, slow = 0;
    pthread_mutex_lock(&faults_lock);
    read_faults();
    for (int i = 0; i < fault_count; i++) {
        if (!fits(&faults[i], call, kind, path)) continue;
        if (faults[i].left > 0) faults[i].left--;
        error = faults[i].error, slow = faults[i].slow, *kept = faults[i].kept;
        break;
    }
    pthread_mutex_unlock(&faults_lock);
    struct timespec delay = {slow / 1000, slow % 1000 * 1000000L};
    if (slow) nanosleep(&delay, NULL);
    return error;
}

/* --- the trace */

static void put(const void *bytes, size_t length) {
    while (length) {
        ssize_t done = syscall(SYS_write, trace, bytes, length);
        if (done <= 0) abort();
        bytes = (const char *)bytes + done, length -= done;
    }
}

static void note(const char *format, ...) {
    char line[2 * PATH];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    put(line, length);
}

static void before_change(void) {
    if (++changes == stop_at) syscall(SYS_exit_group, 137);
}

static unsigned long inode_of(int fd, const char *path) {
    struct stat found;
    int failed = path ? lstat(path, &found) : fstat(fd, &found);
    return failed ? 0 : found.st_ino;
}

/* One call: its fault, then the call with its record. `path` is "" where it has none. */
#define AROUND(call, kind, path, recorded)                                    \
    int kept, error = fault_for(call, kind, path, &kept);                     \
    if (error && !kept) return errno = error, -1;                             \
    int recording = is_below(path);                                           \
    if (recording) pthread_mutex_lock(&one_at_a_time);                        \
    if (recording && recorded) before_change();

#define DONE(result)                                                          \
    int saved = errno;                                                        \
    if (recording) pthread_mutex_unlock(&one_at_a_time);                      \
    errno = saved;                                                            \
    return error ? (errno = error, -1) : (result);

/* --- files */

static int do_open(int directory, const char *name, int flags, mode_t mode) {
    char path[PATH] = "";
    int writes = flags & (O_CREAT | O_TRUNC);
    if (trace >= 0 || faults_file) path_at(directory, name, path);
    int mark = is_below(path) && strstr(path, "/.marks");
    AROUND("open", (flags & O_ACCMODE) == O_RDONLY ? READS : CHANGES, path, writes && !mark)
    struct stat was;
    int absent = recording && lstat(path, &was) != 0;
    int fd = syscall(SYS_openat, directory, name, flags, mode);
    if (fd >= 0 && error) syscall(SYS_close, fd);
    if (fd >= 0 && recording && !mark) {
        unsigned long inode = inode_of(-1, path);
        if (absent && writes) note("create %lu %s\n", inode, relative(path));
        else if (flags & O_TRUNC) note("truncate %lu 0\n", inode);
    }
    DONE(fd)
}

static mode_t mode_of(int flags, va_list values) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(values, mode_t) : 0;
}
#define OPEN(name, ...)                                                       \
    int name(__VA_ARGS__ const char *path, int flags, ...) {                  \
        va_list values;                                                       \
        va_start(values, flags);                                              \
        mode_t mode = mode_of(flags, values);                                 \
        va_end(values);
#define COMMA ,
OPEN(open, ) return do_open(AT_FDCWD, path, flags, mode); }
OPEN(open64, ) return do_open(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
OPEN(openat, int directory COMMA) return do_open(directory, path, flags, mode); }
OPEN(openat64, int directory COMMA) return do_open(directory, path, flags | O_LARGEFILE, mode); }
int creat(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* `offset` < 0: where the file stands. */
static ssize_t do_write(const char *call, int fd, const struct iovec *parts, int count, off_t offset) {
    char path[PATH] = "";
    if (trace >= 0 || faults_file) path_of_fd(fd, path);
    int mark = is_below(path) && strstr(path, "/.marks");
    AROUND(call, CHANGES, path, !mark)
    off_t at = offset;
    if (recording && offset < 0) {
        struct stat now;
        int appends = fcntl(fd, F_GETFL) & O_APPEND;
        at = appends && !fstat(fd, &now) ? now.st_size : lseek(fd, 0, SEEK_CUR);
    }
    ssize_t done = 0;
    if (mark)
        for (int i = 0; i < count; i++) done += parts[i].iov_len;
    else if (offset >= 0) done = syscall(SYS_pwrite64, fd, parts->iov_base, parts->iov_len, offset);
    else done = syscall(SYS_writev, fd, parts, count);
    if (recording && done > 0) {
        if (mark) note("mark %ld\n", (long)done);
        else note("write %lu %ld %ld\n", inode_of(fd, NULL), (long)at, (long)done);
        size_t left = done;
        for (int i = 0; i < count && left; i++) {
            size_t length = parts[i].iov_len < left ? parts[i].iov_len : left;
            put(parts[i].iov_base, length), left -= length;
        }
        put("\n", 1);
    }
    DONE(done)
}

ssize_t write(int fd, const void *bytes, size_t length) {
    struct iovec part = {(void *)bytes, length};
    return do_write("write", fd, &part, 1, -1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return do_write("writev", fd, parts, count, -1); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
    struct iovec part = {(void *)bytes, length};
    return do_write("pwrite", fd, &part, 1, offset);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

int ftruncate64(int fd, off_t length) {
    char path[PATH] = "";
    if (trace >= 0 || faults_file) path_of_fd(fd, path);
    AROUND("ftruncate", CHANGES, path, 1)
    int done = syscall(SYS_ftruncate, fd, length);
    if (recording && !done) note("truncate %lu %ld\n", inode_of(fd, NULL), (long)length);
    DONE(done)
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int do_sync(const char *call, long number, int fd) {
    char path[PATH] = "";
    if (trace >= 0 || faults_file) path_of_fd(fd, path);
    AROUND(call, SYNCS, path, 1)
    int done = syscall(number, fd);
    if (recording && !done) note("sync %lu\n", inode_of(fd, NULL));
    DONE(done)
}
int fsync(int fd) { return do_sync("fsync", SYS_fsync, fd); }
int fdatasync(int fd) { return do_sync("fdatasync", SYS_fdatasync, fd); }

int sync_file_range(int fd, off_t offset, off_t length, unsigned flags) {
    char path[PATH] = "";
    if (trace >= 0 || faults_file) path_of_fd(fd, path);
    AROUND("sync_file_range", RANGES, path, 0)
    int done = syscall(SYS_sync_file_range, fd, offset, length, flags);
    if (recording && !done) note("range %lu\n", inode_of(fd, NULL));
    DONE(done)
}

/* --- directories */

static int do_rename(int old_directory, const char *old, int new_directory, const char *new, unsigned flags) {
    char from[PATH] = "", to[PATH] = "";
    if (trace >= 0 || faults_file) path_at(old_directory, old, from), path_at(new_directory, new, to);
    AROUND("rename", CHANGES, to, 1)
    int done = syscall(SYS_renameat2, old_directory, old, new_directory, new, flags);
    if (recording && !done) note("rename %s %s\n", relative(from), relative(to));
    DONE(done)
}
int rename(const char *old, const char *new) { return do_rename(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int a, const char *old, int b, const char *new) { return do_rename(a, old, b, new, 0); }
int renameat2(int a, const char *old, int b, const char *new, unsigned f) { return do_rename(a, old, b, new, f); }

int linkat(int a, const char *old, int b, const char *new, int flags) {
    char from[PATH] = "", to[PATH] = "";
    if (trace >= 0 || faults_file) path_at(a, old, from), path_at(b, new, to);
    AROUND("link", CHANGES, to, 1)
    int done = syscall(SYS_linkat, a, old, b, new, flags);
    if (recording && !done) note("link %s %s\n", relative(from), relative(to));
    DONE(done)
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int unlinkat(int directory, const char *name, int flags) {
    char path[PATH] = "";
    if (trace >= 0 || faults_file) path_at(directory, name, path);
    AROUND(flags & AT_REMOVEDIR ? "rmdir" : "unlink", CHANGES, path, 1)
    int done = syscall(SYS_unlinkat, directory, name, flags);
    if (recording && !done) note("unlink %s\n", relative(path));
    DONE(done)
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int directory, const char *name, mode_t mode) {
    char path[PATH] = "";
    if (trace >= 0 || faults_file) path_at(directory, name, path);
    AROUND("mkdir", CHANGES, path, 1)
    int done = syscall(SYS_mkdirat, directory, name, mode);
    if (recording && !done) note("mkdir %lu %s\n", inode_of(-1, path), relative(path));
    DONE(done)
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
