/* Calls WASI in all the ways that depend on the layout and byte order of its records, and prints what it gets.
   Nothing that it prints depends on the machine, the time or chance. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <wasi/api.h>

static void check(const char *what, long got, long expected) {
    if (got == expected)
        printf("%s: %ld\n", what, got);
    else
        printf("%s: %ld, not %ld (errno %d)\n", what, got, expected, errno);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static void files(void) {
    int fd = open("/data", O_RDWR | O_CREAT | O_TRUNC, 0644);
    struct iovec parts[3] = {{"little", 6}, {"-", 1}, {"endian", 6}};
    check("writev", writev(fd, parts, 3), 13);
    check("pwrite", pwrite(fd, "END", 3, 300), 3);
    check("seek to the end", lseek(fd, 0, SEEK_END), 303);
    check("seek back", lseek(fd, -296, SEEK_CUR), 7);
    char head[4], tail[3];
    struct iovec into[2] = {{head, 4}, {tail, 2}};
    check("readv", readv(fd, into, 2), 6);
    printf("read: %.4s %.2s\n", head, tail);
    check("pread", pread(fd, tail, 3, 300), 3);
    printf("read: %.3s\n", tail);

    /* Whole seconds: QEMU has no others on s390x. */
    struct timespec times[2] = {{0x123456789, 0}, {1000000000, 0}};
    check("futimens", futimens(fd, times), 0);
    struct stat status;
    check("fstat", fstat(fd, &status), 0);
    printf("size %lld, links %llu, regular %d\n", (long long)status.st_size, (unsigned long long)status.st_nlink,
           S_ISREG(status.st_mode));
    printf("accessed %lld.%09ld, changed %lld.%09ld\n", (long long)status.st_atim.tv_sec, status.st_atim.tv_nsec,
           (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    check("ftruncate", ftruncate(fd, 0x10203), 0);
    check("fstat", fstat(fd, &status), 0);
    check("size", status.st_size, 0x10203);

    __wasi_fdstat_t flags;
    check("fdstat", __wasi_fd_fdstat_get(fd, &flags), 0);
    printf("type %d, append %d\n", flags.fs_filetype, flags.fs_flags & __WASI_FDFLAGS_APPEND);
    check("set flags", __wasi_fd_fdstat_set_flags(fd, __WASI_FDFLAGS_APPEND), 0);
    check("fdstat", __wasi_fd_fdstat_get(fd, &flags), 0);
    printf("append %d\n", flags.fs_flags & __WASI_FDFLAGS_APPEND);
    close(fd);

    check("symlink", symlink("data", "/link"), 0);
    char target[16] = {0};
    check("readlink", readlink("/link", target, sizeof target), 4);
    printf("link to %s\n", target);
    check("lstat", lstat("/link", &status), 0);
    check("is a link", S_ISLNK(status.st_mode) != 0, 1);
    check("link", link("/data", "/hard"), 0);
    check("stat", stat("/hard", &status), 0);
    check("links", status.st_nlink, 2);
    check("rename", rename("/hard", "/harder"), 0);
    check("no such file", stat("/hard", &status) == -1 && errno == ENOENT, 1);
    check("outside", open("../etc", O_RDONLY) == -1, 1);
}

static void directories(void) {
    enum { COUNT = 70 };
    static char names[COUNT + 2][64];
    check("mkdir", mkdir("/dir", 0755), 0);
    for (int i = 0; i < COUNT; i++) {
        char path[80];
        snprintf(path, sizeof path, "/dir/%02d-a-name-that-fills-the-buffer-of-entries-soon", i);
        close(open(path, O_CREAT | O_WRONLY, 0644));
    }
    DIR *dir = opendir("/dir");
    int count = 0, files = 0;
    for (struct dirent *entry; (entry = readdir(dir)) && count < COUNT + 2;) {
        strncpy(names[count++], entry->d_name, 63);
        files += entry->d_type == DT_REG;
    }
    closedir(dir);
    check("entries", count, COUNT + 2);
    check("files", files, COUNT);
    qsort(names, count, sizeof names[0], by_name);
    printf("first %s, last %s\n", names[2], names[count - 1]);
    check("rmdir of a full directory", rmdir("/dir") == -1 && errno == ENOTEMPTY, 1);
}

static void clocks(void) {
    __wasi_timestamp_t before, after, resolution;
    check("clock", __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &before), 0);
    check("resolution", __wasi_clock_res_get(__WASI_CLOCKID_MONOTONIC, &resolution), 0);
    check("fine", resolution > 0 && resolution <= 100000000, 1);
    __wasi_subscription_t wanted[2];
    memset(wanted, 0, sizeof wanted);
    wanted[0].userdata = 0x0102030405060708;
    wanted[0].u.tag = __WASI_EVENTTYPE_CLOCK;
    wanted[0].u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
    wanted[0].u.u.clock.timeout = 20000000;
    __wasi_event_t events[2];
    __wasi_size_t count;
    check("poll", __wasi_poll_oneoff(wanted, events, 1, &count), 0);
    check("events", count, 1);
    printf("userdata %llx, error %d, type %d\n", (unsigned long long)events[0].userdata, events[0].error,
           events[0].type);
    check("clock", __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &after), 0);
    check("time has passed", after - before >= 20000000 && after - before < 60000000000, 1);
    __wasi_timestamp_t now;
    check("clock", __wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 1, &now), 0);
    check("it is after 2020", now > 1577836800000000000 && now < 7258118400000000000, 1);

    int fd = open("/data", O_RDONLY);
    wanted[1].userdata = 42;
    wanted[1].u.tag = __WASI_EVENTTYPE_FD_READ;
    wanted[1].u.u.fd_read.file_descriptor = fd;
    wanted[0].u.u.clock.timeout = 10000000000;
    check("poll", __wasi_poll_oneoff(wanted, events, 2, &count), 0);
    check("events", count, 1);
    check("userdata", events[0].userdata, 42);
    close(fd);
}

/* Where a name goes to a call of WASI itself: address and length follow from it. */
static __wasi_errno_t open_at(__wasi_fd_t dir, const char *path, __wasi_lookupflags_t follow, __wasi_oflags_t flags,
                              __wasi_rights_t rights, __wasi_fd_t *fd) {
    return __wasi_path_open(dir, follow, path, flags, rights, rights, 0, fd);
}

/* No way leads out of the directory, and what leads nowhere ends. */
static void sandbox(void) {
    const __wasi_fd_t root = 3;
    const __wasi_lookupflags_t follow = __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW;
    const __wasi_rights_t rights = __WASI_RIGHTS_FD_READ;
    __wasi_fd_t fd;
    check("to the parent", open_at(root, "..", follow, 0, rights, &fd), __WASI_ERRNO_PERM);
    check("through the parent", open_at(root, "dir/../../etc/passwd", follow, 0, rights, &fd), __WASI_ERRNO_PERM);
    check("absolute", open_at(root, "/etc/passwd", follow, 0, rights, &fd), __WASI_ERRNO_PERM);
    check("up and down inside", open_at(root, "dir/../data", follow, 0, rights, &fd), 0);
    __wasi_fd_close(fd);
    check("symlink up", __wasi_path_symlink("..", root, "up"), 0);
    check("through it", open_at(root, "up/etc", follow, 0, rights, &fd), __WASI_ERRNO_PERM);
    check("to it", open_at(root, "up", follow, 0, rights, &fd), __WASI_ERRNO_PERM);
    check("the link itself", open_at(root, "up", 0, 0, rights, &fd), __WASI_ERRNO_LOOP);
    check("symlink in a circle", __wasi_path_symlink("b", root, "a"), 0);
    check("symlink in a circle", __wasi_path_symlink("a", root, "b"), 0);
    check("through it", open_at(root, "a", follow, 0, rights, &fd), __WASI_ERRNO_LOOP);
    check("a file as a directory", open_at(root, "data/x", follow, 0, rights, &fd), __WASI_ERRNO_NOTDIR);
    check("a slash after a file", open_at(root, "data/", follow, 0, rights, &fd), __WASI_ERRNO_NOTDIR);
    check("nothing", open_at(root, "", follow, 0, rights, &fd), __WASI_ERRNO_NOENT);
    check("unlink", __wasi_path_unlink_file(root, "up"), 0);
    check("unlink", __wasi_path_unlink_file(root, "a"), 0);
    check("unlink", __wasi_path_unlink_file(root, "b"), 0);
    check("unlink a directory", __wasi_path_unlink_file(root, "dir") != 0, 1);
    check("remove a file", __wasi_path_remove_directory(root, "data"), __WASI_ERRNO_NOTDIR);
}

/* What a descriptor was not opened for, it does not do; and bad numbers are errors. */
static void refusals(void) {
    const __wasi_fd_t root = 3;
    const __wasi_lookupflags_t follow = __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW;
    __wasi_fd_t fd, other;
    __wasi_size_t done;
    char bytes[4];
    __wasi_iovec_t into = {(uint8_t *)bytes, sizeof bytes};
    __wasi_ciovec_t from = {(const uint8_t *)bytes, sizeof bytes};
    check("open to read", open_at(root, "data", follow, 0, __WASI_RIGHTS_FD_READ, &fd), 0);
    check("read", __wasi_fd_read(fd, &into, 1, &done), 0);
    check("write", __wasi_fd_write(fd, &from, 1, &done) != 0, 1);
    __wasi_filesize_t at;
    check("grow without the right", __wasi_fd_filestat_set_size(fd, 1) != 0, 1);
    check("no right back", __wasi_fd_fdstat_set_rights(fd, __WASI_RIGHTS_FD_WRITE, 0) != 0, 1);
    check("fewer rights", __wasi_fd_fdstat_set_rights(fd, 0, 0), 0);
    check("read", __wasi_fd_read(fd, &into, 1, &done) != 0, 1);
    check("seek", __wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &at) != 0, 1);
    check("as a directory", open_at(fd, "x", follow, 0, 0, &other) != 0, 1);

    const __wasi_rights_t write = __WASI_RIGHTS_FD_WRITE | __WASI_RIGHTS_FD_SEEK;
    check("exclusive", open_at(root, "data", follow, __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, write, &other),
          __WASI_ERRNO_EXIST);
    check("directory wanted", open_at(root, "data", follow, __WASI_OFLAGS_DIRECTORY, 0, &other), __WASI_ERRNO_NOTDIR);
    check("truncated", open_at(root, "new", follow, __WASI_OFLAGS_CREAT | __WASI_OFLAGS_TRUNC, write, &other), 0);
    from.buf_len = 3;
    check("write", __wasi_fd_write(other, &from, 1, &done), 0);
    check("beyond memory", __wasi_fd_write(other, &(__wasi_ciovec_t){(uint8_t *)0xfffffff0, 64}, 1, &done),
          __WASI_ERRNO_FAULT);
    check("before the start", __wasi_fd_seek(other, -4, __WASI_WHENCE_SET, &at), __WASI_ERRNO_INVAL);
    check("from nowhere", __wasi_fd_seek(other, 0, 9, &at), __WASI_ERRNO_INVAL);
    check("seek", __wasi_fd_seek(other, 0x1234567890, __WASI_WHENCE_SET, &at), 0);
    check("far", at == 0x1234567890, 1);
    check("renumber", __wasi_fd_renumber(other, fd), 0);
    check("the old number", __wasi_fd_close(other), __WASI_ERRNO_BADF);
    check("seek", __wasi_fd_seek(fd, 0, __WASI_WHENCE_CUR, &at), 0);
    check("far", at == 0x1234567890, 1);
    check("close", __wasi_fd_close(fd), 0);
    check("unlink", __wasi_path_unlink_file(root, "new"), 0);

    __wasi_event_t event;
    __wasi_subscription_t wanted;
    memset(&wanted, 0, sizeof wanted);
    check("no subscription", __wasi_poll_oneoff(&wanted, &event, 0, &done), __WASI_ERRNO_INVAL);
    wanted.u.tag = __WASI_EVENTTYPE_FD_WRITE;
    wanted.u.u.fd_write.file_descriptor = 99;
    check("poll of a bad descriptor", __wasi_poll_oneoff(&wanted, &event, 1, &done), __WASI_ERRNO_BADF);
    check("accept", __wasi_sock_accept(root, 0, &other) != 0, 1);
    check("shutdown", __wasi_sock_shutdown(root, __WASI_SDFLAGS_RD) != 0, 1);
}

/* Entries of a directory come in parts, and a part may end in the midst of an entry. */
static void parts(void) {
    const __wasi_rights_t rights = __WASI_RIGHTS_FD_READDIR;
    __wasi_fd_t dir;
    check("open", open_at(3, "dir", 0, __WASI_OFLAGS_DIRECTORY, rights, &dir), 0);
    static uint8_t buffer[256];
    __wasi_dircookie_t cookie = 0;
    int count = 0, rounds = 0;
    for (__wasi_size_t used = sizeof buffer; used == sizeof buffer && rounds < 100; rounds++) {
        if (__wasi_fd_readdir(dir, buffer, sizeof buffer, cookie, &used) != 0)
            break;
        for (__wasi_size_t at = 0; at + sizeof(__wasi_dirent_t) <= used;) {
            __wasi_dirent_t entry;
            memcpy(&entry, buffer + at, sizeof entry);
            at += sizeof entry + entry.d_namlen;
            if (at > used)
                break;
            cookie = entry.d_next;
            count++;
        }
    }
    check("entries in parts", count, 72);
    check("parts", rounds > 20, 1);
    __wasi_fd_close(dir);
}

static void rest(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        printf("argument %d: %s\n", i, argv[i]);
    const char *greeting = getenv("GREETING");
    printf("environment: %s\n", greeting ? greeting : "nothing");
    uint8_t bytes[64] = {0};
    check("random", __wasi_random_get(bytes, sizeof bytes), 0);
    int zeros = 0;
    for (int i = 0; i < 64; i++)
        zeros += bytes[i] == 0;
    check("random bytes", zeros < 32, 1);
    __wasi_prestat_t prestat;
    check("prestat", __wasi_fd_prestat_get(3, &prestat), 0);
    printf("preopened: tag %d, %u bytes\n", prestat.tag, (unsigned)prestat.u.dir.pr_name_len);
    check("bad descriptor", __wasi_fd_sync(99), __WASI_ERRNO_BADF);
}

int main(int argc, char **argv) {
    files();
    directories();
    sandbox();
    refusals();
    parts();
    clocks();
    rest(argc, argv);
    return 42;
}
