/* Stands between a program and its disk (LD_PRELOAD): files below the folder
 * TAWNY_TEST_DISK fail as the first letter of the file TAWNY_TEST_DISK.mode says:
 *   f  full: nothing grows, but for the room that the reserve file has left
 *   r  read-only: nothing is opened for writing or written
 *   w  an input/output error of each write
 *   s  an input/output error of each sync
 *   p  no permission to open anything
 * Anything else: it works. If there is a file TAWNY_TEST_DISK.syncs, the name of
 * everything that is synced is added to it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESERVE (1 << 20)

static long grown;

static char mode(void) {
    const char *folder = getenv("TAWNY_TEST_DISK");
    char path[4096], letter = 0;
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s.mode", folder);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
    if (fd < 0) return 0;
    if (syscall(SYS_read, fd, &letter, 1) != 1) letter = 0;
    syscall(SYS_close, fd);
    if (letter != 'f') grown = 0;
    return letter;
}

static int is_on_disk(const char *path) {
    const char *folder = getenv("TAWNY_TEST_DISK");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0 && path[strlen(folder)] == '/';
}

static int name_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    path[n < 0 ? 0 : n] = 0;
    return is_on_disk(path);
}

static int fail(int code) {
    errno = code;
    return -1;
}

static int may_open(const char *path, int flags) {
    if (!is_on_disk(path)) return 1;
    char now = mode();
    if (now == 'p') return fail(EACCES), 0;
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    if (now == 'r' && writes) return fail(EROFS), 0;
    return 1;
}

static int may_write(int fd, off_t end) {
    char path[4096], reserve[4096];
    if (!name_of(fd, path, sizeof path)) return 1;
    switch (mode()) {
    case 'w': return fail(EIO), 0;
    case 'r': return fail(EROFS), 0;
    case 'f': break;
    default: return 1;
    }
    struct stat meta;
    if (fstat(fd, &meta) != 0 || end <= meta.st_size) return 1;
    snprintf(reserve, sizeof reserve, "%s/journal.db.reserve", getenv("TAWNY_TEST_DISK"));
    int given_up = access(reserve, F_OK) != 0;
    if (!given_up || strstr(path, ".reserve") || grown + (end - meta.st_size) > RESERVE) return fail(ENOSPC), 0;
    grown += end - meta.st_size;
    return 1;
}

static void note_sync(const char *path) {
    char list[4096];
    snprintf(list, sizeof list, "%s.syncs", getenv("TAWNY_TEST_DISK"));
    int fd = (int)syscall(SYS_openat, AT_FDCWD, list, O_WRONLY | O_APPEND, 0);
    if (fd < 0) return;
    dprintf(fd, "%s\n", path);
    syscall(SYS_close, fd);
}

static int may_sync(int fd) {
    char path[4096];
    if (!name_of(fd, path, sizeof path)) return 1;
    note_sync(path);
    char now = mode();
    if (now == 's') return fail(EIO), 0;
    if (now == 'r') return fail(EROFS), 0;
    return 1;
}

#define REAL(name, type) \
    static __typeof__(type) real; \
    if (!real) real = (__typeof__(type))dlsym(RTLD_NEXT, name)

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        REAL(#name, int (*)(const char *, int, mode_t)); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t bits = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return may_open(path, flags) ? real(path, flags, bits) : -1; \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name) \
    int name(int at, const char *path, int flags, ...) { \
        REAL(#name, int (*)(int, const char *, int, mode_t)); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t bits = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return may_open(path, flags) ? real(at, path, flags, bits) : -1; \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

ssize_t write(int fd, const void *bytes, size_t n) {
    REAL("write", ssize_t (*)(int, const void *, size_t));
    off_t at = lseek(fd, 0, SEEK_CUR);
    return may_write(fd, (at < 0 ? 0 : at) + (off_t)n) ? real(fd, bytes, n) : -1;
}

#define PWRITES(name) \
    ssize_t name(int fd, const void *bytes, size_t n, off_t at) { \
        REAL(#name, ssize_t (*)(int, const void *, size_t, off_t)); \
        return may_write(fd, at + (off_t)n) ? real(fd, bytes, n, at) : -1; \
    }
PWRITES(pwrite)
PWRITES(pwrite64)

#define SYNCS(name) \
    int name(int fd) { \
        REAL(#name, int (*)(int)); \
        return may_sync(fd) ? real(fd) : -1; \
    }
SYNCS(fsync)
SYNCS(fdatasync)

#define TRUNCATES(name) \
    int name(int fd, off_t size) { \
        REAL(#name, int (*)(int, off_t)); \
        return may_write(fd, 0) ? real(fd, size) : -1; \
    }
TRUNCATES(ftruncate)
TRUNCATES(ftruncate64)

int unlink(const char *path) {
    REAL("unlink", int (*)(const char *));
    return is_on_disk(path) && mode() == 'r' ? fail(EROFS) : real(path);
}

int rename(const char *from, const char *to) {
    REAL("rename", int (*)(const char *, const char *));
    return is_on_disk(from) && mode() == 'r' ? fail(EROFS) : real(from, to);
}
