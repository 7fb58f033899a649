// A file system that lies: preloaded before the C library, it counts, records, fails, cuts short
// and delays what a program does to the files of one directory. `faults.py` drives it while the
// program runs, through a page that both map.
//
//   FAULTS_DIRECTORY  the directory; its subdirectories are left alone
//   FAULTS_CONTROL    the page, `struct control`
//   FAULTS_JOURNAL    where to record; optional
//
// A file is known by its inode, not by its descriptor, so nothing here follows dup, close, fork or
// threads that each have a table of descriptors. System calls are made directly: no call of this
// file can come back to it.
//
// Not seen, and so not to be used on these files by the program under test: stdio, io_uring,
// truncate by name, link, copy_file_range, syncfs, O_SYNC, readv, and what another program does.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "open64 and its like are made as other names of open");

// What calls are. Those from CREATE to RENAME have a number. In step with `Op` in faults.py.
enum op { OPEN, READ, CREATE, WRITE, TRUNCATE, ALLOCATE, SYNC, DIRECTORY_SYNC, UNLINK, RENAME,
          // Only in the journal: a sync's end, and what no image can be made from.
          RESULT, ESCAPE };

// What is done to a call that is hit. In step with `Mode` in faults.py.
enum mode { OFF, FAIL, SHORT, SHORT_THEN_FAIL, TORN, KILL };

enum { MAGIC = 0x31544c46, RECORD_MAGIC = 0x31434552, SUFFIX_LIMIT = 32, NAME_LIMIT = 256 };

// The page. Python writes `mode` last when it sets a rule. In step with `Control` in faults.py.
struct control {
    uint32_t magic;
    _Atomic uint32_t record;  // 0 nothing, 1 calls, 2 calls and their data
    _Atomic uint32_t mode;
    uint32_t ops;  // which calls the rule is for, a bit for each
    int32_t error;
    uint32_t keeps_syncs;  // whether a sync that succeeds is really made
    uint64_t first, last;  // which numbers
    _Atomic int64_t times;  // how often yet; -1 for always
    _Atomic int64_t space;  // bytes that the files may still grow by; -1 for any number
    _Atomic uint32_t slow_ops, slow_milliseconds;
    char suffix[SUFFIX_LIMIT], slow_suffix[SUFFIX_LIMIT];  // how the file's name ends
    uint32_t includes_shm;
    // Written here, read by Python.
    _Atomic uint32_t waiting;  // calls that are being delayed
    _Atomic uint32_t next_id;
    uint32_t hits;  // of the present rule
    _Atomic uint64_t calls, faults, full;  // numbered; hit by rules; refused for want of space
};

// Followed by the name and the data. In step with `RECORD` in faults.py.
struct record {
    uint32_t magic;
    uint16_t op, flags;
    uint64_t number;
    uint32_t file;
    int32_t error;
    int64_t offset, length, done;
    uint32_t name_length, data_length;
};

struct file {
    dev_t device;
    ino_t inode;
    uint32_t id;
    bool is_unlinked, is_shm;
    char name[NAME_LIMIT];
};

// Files that were opened and can still be; far more than SQLite has at a time. The oldest goes.
enum { FILE_LIMIT = 512 };

static struct control *control;
static const char *directory;
static int journal = -1;
// Guards what follows, and makes one order of all numbered calls, which is the journal's. A sync is
// made outside of it: other threads' writes go on meanwhile, as they would.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct file files[FILE_LIMIT];
static unsigned file_count;  // ever made; the slot is the remainder

static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) { pthread_mutex_unlock(&mutex); }

__attribute__((noreturn)) static void give_up(const char *what) {
    char text[512];
    int length = snprintf(text, sizeof text, "faults: %s: %s\n", what, strerror(errno));
    syscall(SYS_write, STDERR_FILENO, text, length);
    abort();
}

__attribute__((constructor)) static void attach(void) {
    const char *page = getenv("FAULTS_CONTROL"), *record = getenv("FAULTS_JOURNAL");
    directory = getenv("FAULTS_DIRECTORY");
    if (page == NULL || directory == NULL) return;
    int descriptor = syscall(SYS_openat, AT_FDCWD, page, O_RDWR | O_CLOEXEC, 0);
    if (descriptor < 0) give_up(page);
    struct control *mapped = (void *)syscall(
        SYS_mmap, NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, (off_t)0);
    if (mapped == MAP_FAILED) give_up(page);
    close(descriptor);
    errno = EPROTO;
    if (mapped->magic != MAGIC) give_up(page);
    if (record != NULL) {
        int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
        descriptor = syscall(SYS_openat, AT_FDCWD, record, flags, 0644);
        if (descriptor < 0) give_up(record);
        // Out of the way: a program's first descriptors are as they were.
        journal = fcntl(descriptor, F_DUPFD_CLOEXEC, 900);
        if (journal < 0) journal = descriptor;
        else close(descriptor);
    }
    pthread_atfork(lock, unlock, unlock);
    control = mapped;
}

static bool ends_with(const char *name, const char *suffix) {
    size_t length = strlen(name), end = strnlen(suffix, SUFFIX_LIMIT);
    return length >= end && memcmp(name + length - end, suffix, end) == 0;
}

// MARK: Which file it is

// Whether a path leads to a file of the directory; `name` is the path's last part. Paths are
// compared by where they lead: relative ones, and those through links, are found as well.
static bool is_inside(int at, const char *path, const char **name) {
    if (control == NULL || path == NULL) return false;
    int before = errno;
    char parent[4096] = ".";
    const char *slash = strrchr(path, '/');
    *name = slash == NULL ? path : slash + 1;
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    struct stat ours, theirs;
    bool found = **name != 0 && strlen(*name) < NAME_LIMIT && length < sizeof parent;
    if (found) {
        if (length > 0) {
            memcpy(parent, path, length);
            parent[length] = 0;
        }
        found = fstatat(at, parent, &theirs, 0) == 0 && stat(directory, &ours) == 0 &&
                ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
    }
    errno = before;
    return found;
}

// The latest record of an inode. That of a deleted file is not that of a new file which got its
// number: the one has no link any more, the other has. Under the lock.
static struct file *find(const struct stat *status) {
    unsigned oldest = file_count > FILE_LIMIT ? file_count - FILE_LIMIT : 0;
    for (unsigned i = file_count; i > oldest; i--) {
        struct file *file = &files[(i - 1) % FILE_LIMIT];
        if (file->inode == status->st_ino && file->device == status->st_dev)
            return file->is_unlinked && status->st_nlink > 0 ? NULL : file;
    }
    return NULL;
}

// Under the lock.
static struct file *remember(const struct stat *status, const char *name) {
    struct file *file = &files[file_count++ % FILE_LIMIT];
    *file = (struct file){.device = status->st_dev, .inode = status->st_ino,
                          .id = atomic_fetch_add(&control->next_id, 1),
                          .is_shm = ends_with(name, "-shm")};
    memcpy(file->name, name, strlen(name) + 1);
    return file;
}

// A copy of what is known of a descriptor's file; false where it is none of ours.
static bool is_ours(int descriptor, struct file *copy, struct stat *status, bool *is_directory) {
    if (control == NULL) return false;
    int before = errno;
    bool found = false, is_folder = false;
    if (fstat(descriptor, status) != 0) goto out;
    if (S_ISREG(status->st_mode)) {
        lock();
        struct file *file = find(status);
        if ((found = file != NULL && (!file->is_shm || control->includes_shm))) *copy = *file;
        unlock();
    } else if (S_ISDIR(status->st_mode) && is_directory != NULL) {
        struct stat ours;
        found = is_folder = stat(directory, &ours) == 0 && ours.st_dev == status->st_dev &&
                            ours.st_ino == status->st_ino;
        if (found) *copy = (struct file){.name = "."};
    }
    if (is_directory != NULL) *is_directory = is_folder;
out:
    errno = before;
    return found;
}

// MARK: What happens to it

static void stall(enum op op, const char *name) {
    if ((control->slow_ops >> op & 1) == 0 || !ends_with(name, control->slow_suffix)) return;
    int before = errno;
    control->waiting++;
    struct timespec nap = {.tv_nsec = 1000000};
    // In short naps, so that an end of the delay ends those under way.
    for (uint32_t i = 0; i < control->slow_milliseconds && (control->slow_ops >> op & 1); i++)
        nanosleep(&nap, NULL);
    control->waiting--;
    errno = before;
}

// What to do with a call. Under the lock.
static enum mode judge(enum op op, const char *name, uint64_t number) {
    enum mode mode = control->mode;
    if (mode == OFF || (control->ops >> op & 1) == 0 || control->times == 0 ||
        number < control->first || number > control->last || !ends_with(name, control->suffix))
        return OFF;
    if (mode == SHORT && op != WRITE) return OFF;
    if (control->times > 0) control->times--;
    control->faults++;
    if (mode == KILL) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    if (mode == SHORT_THEN_FAIL) mode = op == WRITE && control->hits == 0 ? SHORT : FAIL;
    if (mode == TORN && op != WRITE) mode = FAIL;
    control->hits++;
    return mode;
}

// Under the lock, so that the journal's order is that of the calls.
static void record(struct record record, const char *name, size_t name_length, const void *data) {
    if (journal < 0 || control->record == 0) return;
    int before = errno;
    record.magic = RECORD_MAGIC;
    record.name_length = name_length;
    record.data_length = control->record > 1 && data != NULL && record.done > 0 ? record.done : 0;
    struct iovec parts[] = {{&record, sizeof record}, {(void *)name, name_length},
                            {(void *)data, record.data_length}};
    ssize_t total = sizeof record + name_length + record.data_length;
    if (syscall(SYS_writev, journal, parts, 3) != total) give_up("cannot write the journal");
    errno = before;
}

static void record_named(struct record fields, const char *name) {
    record(fields, name, strlen(name), NULL);
}

// What a call failed with, after it has set errno.
static int code(long result) { return result < 0 ? errno : 0; }

// Ends a call that is made to fail.
static int refuse(void) {
    errno = control->error;
    return -1;
}

// Bytes of a write that fit on the full disk: only what makes a file longer takes room, a gap
// before it included. Under the lock.
static size_t fitting(size_t length, off_t offset, off_t size) {
    int64_t space = control->space, growth = offset + (int64_t)length - size;
    if (space < 0 || growth <= 0) return length;
    if (growth <= space) {
        control->space = space - growth;
        return length;
    }
    control->full++;
    int64_t fits = (int64_t)length - (growth - space);
    if (fits <= 0) return 0;
    control->space = 0;
    return fits;
}

static void give_back(off_t bytes) {
    if (control->space >= 0 && bytes > 0) control->space += bytes;
}

// MARK: Writing

static ssize_t real_write(int descriptor, const void *data, size_t length, off_t offset) {
    if (offset < 0) return syscall(SYS_write, descriptor, data, length);
    return syscall(SYS_pwrite64, descriptor, data, length, offset);
}

// Writes at `offset`, or at the descriptor's position where that is negative.
static ssize_t write_at(int descriptor, const void *data, size_t length, off_t offset) {
    struct file file;
    struct stat status;
    if (!is_ours(descriptor, &file, &status, NULL))
        return real_write(descriptor, data, length, offset);
    stall(WRITE, file.name);
    lock();
    fstat(descriptor, &status);
    off_t place = offset >= 0 ? offset : syscall(SYS_lseek, descriptor, 0, SEEK_CUR);
    if (fcntl(descriptor, F_GETFL) & O_APPEND) place = status.st_size;
    struct record fields = {.op = WRITE, .number = ++control->calls, .file = file.id,
                            .offset = place, .length = length};
    enum mode mode = judge(WRITE, file.name, fields.number);
    size_t wanted = mode == OFF ? fitting(length, place, status.st_size)
                    : mode == FAIL ? 0 : length / 2;
    ssize_t done = 0;
    bool is_full = mode == OFF && wanted == 0 && length > 0;
    if (wanted > 0 || length == 0) done = real_write(descriptor, data, wanted, offset);
    fields.error = code(done);
    fields.done = done < 0 ? 0 : done;
    if (mode == FAIL || mode == TORN || is_full) {
        fields.error = errno = is_full ? ENOSPC : control->error;
        done = -1;
    }
    record(fields, file.name, strlen(file.name), data);
    unlock();
    return done;
}

static ssize_t write_parts(int descriptor, const struct iovec *parts, int count, off_t offset) {
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        off_t place = offset < 0 ? offset : offset + total;
        ssize_t done = write_at(descriptor, parts[i].iov_base, parts[i].iov_len, place);
        if (done < 0) return total > 0 ? total : -1;
        total += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return total;
}

ssize_t write(int descriptor, const void *data, size_t length) {
    return write_at(descriptor, data, length, -1);
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset) {
    if (offset >= 0) return write_at(descriptor, data, length, offset);
    errno = EINVAL;
    return -1;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    struct file file;
    struct stat status;
    // A socket's or pipe's parts have to go as one.
    if (!is_ours(descriptor, &file, &status, NULL))
        return syscall(SYS_writev, descriptor, parts, count);
    return write_parts(descriptor, parts, count, -1);
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) {
    if (offset >= 0) return write_parts(descriptor, parts, count, offset);
    errno = EINVAL;
    return -1;
}

int ftruncate(int descriptor, off_t size) {
    struct file file;
    struct stat status;
    if (!is_ours(descriptor, &file, &status, NULL))
        return syscall(SYS_ftruncate, descriptor, size);
    stall(TRUNCATE, file.name);
    lock();
    fstat(descriptor, &status);
    struct record fields = {.op = TRUNCATE, .number = ++control->calls, .file = file.id,
                            .offset = size};
    int result = judge(TRUNCATE, file.name, fields.number) != OFF
                     ? refuse() : syscall(SYS_ftruncate, descriptor, size);
    if (result == 0) give_back(status.st_size - size);
    fields.error = code(result);
    record_named(fields, file.name);
    unlock();
    return result;
}

int fallocate(int descriptor, int mode, off_t offset, off_t length) {
    struct file file;
    struct stat status;
    if (!is_ours(descriptor, &file, &status, NULL))
        return syscall(SYS_fallocate, descriptor, mode, offset, length);
    stall(ALLOCATE, file.name);
    lock();
    fstat(descriptor, &status);
    struct record fields = {.op = ALLOCATE, .number = ++control->calls, .file = file.id,
                            .offset = offset, .length = length, .flags = mode};
    int result;
    if (judge(ALLOCATE, file.name, fields.number) != OFF) {
        result = refuse();
    } else if (fitting(length, offset, status.st_size) < (size_t)length) {
        errno = ENOSPC;
        result = -1;
    } else {
        result = syscall(SYS_fallocate, descriptor, mode, offset, length);
    }
    fields.error = code(result);
    record_named(fields, file.name);
    unlock();
    return result;
}

int posix_fallocate(int descriptor, off_t offset, off_t length) {
    int before = errno;
    int error = code(fallocate(descriptor, 0, offset, length));
    errno = before;
    return error;
}

static int sync_file(int descriptor, long kind) {
    struct file file;
    struct stat status;
    bool is_directory;
    if (!is_ours(descriptor, &file, &status, &is_directory)) return syscall(kind, descriptor);
    enum op op = is_directory ? DIRECTORY_SYNC : SYNC;
    stall(op, file.name);
    lock();
    struct record fields = {.op = op, .number = ++control->calls, .file = file.id};
    enum mode mode = judge(op, file.name, fields.number);
    record_named(fields, file.name);
    unlock();
    int result = mode != OFF ? refuse() : control->keeps_syncs ? syscall(kind, descriptor) : 0;
    fields.error = code(result);
    fields.op = RESULT;
    lock();
    record_named(fields, file.name);
    unlock();
    return result;
}

int fsync(int descriptor) { return sync_file(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return sync_file(descriptor, SYS_fdatasync); }

// MARK: Reading

static bool is_unreadable(int descriptor) {
    if (control == NULL || control->mode == OFF || (control->ops >> READ & 1) == 0) return false;
    struct file file;
    struct stat status;
    if (!is_ours(descriptor, &file, &status, NULL)) return false;
    lock();
    // Reads have no number; the rule's numbers are of the changes around them.
    bool is_hit = judge(READ, file.name, control->calls + 1) != OFF;
    unlock();
    return is_hit;
}

ssize_t read(int descriptor, void *data, size_t length) {
    if (is_unreadable(descriptor)) return refuse();
    return syscall(SYS_read, descriptor, data, length);
}

ssize_t pread(int descriptor, void *data, size_t length, off_t offset) {
    if (is_unreadable(descriptor)) return refuse();
    return syscall(SYS_pread64, descriptor, data, length, offset);
}

// What is written through memory has no call that could be recorded: no image can be made any more.
void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
    struct file file;
    struct stat status;
    if (descriptor >= 0 && (protection & PROT_WRITE) && (flags & MAP_TYPE) == MAP_SHARED &&
        is_ours(descriptor, &file, &status, NULL) && !file.is_shm) {
        lock();
        record_named((struct record){.op = ESCAPE, .file = file.id}, file.name);
        unlock();
    }
    return (void *)syscall(SYS_mmap, address, length, protection, flags, descriptor, offset);
}

// MARK: Names

static int open_at(int at, const char *path, int flags, mode_t mode) {
    const char *name;
    if (!is_inside(at, path, &name) || (flags & O_DIRECTORY))
        return syscall(SYS_openat, at, path, flags, mode);
    struct stat status;
    lock();
    bool exists = fstatat(at, path, &status, 0) == 0;
    int result;
    if (exists ? !S_ISREG(status.st_mode) : (flags & O_CREAT) == 0) {
        result = syscall(SYS_openat, at, path, flags, mode);
        unlock();
        return result;
    }
    enum op op = !exists ? CREATE : (flags & O_TRUNC) && status.st_size > 0 ? TRUNCATE : OPEN;
    bool is_counted = !ends_with(name, "-shm") || control->includes_shm;
    uint64_t number = control->calls + 1;
    if (is_counted && op != OPEN) control->calls = number;
    // A file system that is read-only lets a file be opened for reading.
    bool passes = op == OPEN && control->error == EROFS && (flags & O_ACCMODE) == O_RDONLY;
    if (is_counted && !passes && judge(op, name, number) != OFF) result = refuse();
    else result = syscall(SYS_openat, at, path, flags, mode);
    struct record fields = {.op = op, .number = op == OPEN ? 0 : number, .error = code(result)};
    if (result >= 0) {
        if (op == TRUNCATE) give_back(status.st_size);
        fstat(result, &status);
        struct file *file = op == CREATE ? NULL : find(&status);
        if (file == NULL) {
            file = remember(&status, name);
            // A truncation is of a file that the journal knows.
            struct record opened = {.op = OPEN, .file = file->id};
            if (is_counted && op == TRUNCATE) record_named(opened, name);
        } else if (op == OPEN) {
            is_counted = false;
        }
        fields.file = file->id;
    }
    if (is_counted && (op != OPEN || result >= 0)) record_named(fields, name);
    unlock();
    return result;
}

static int unlink_at(int at, const char *path, int flags) {
    const char *name;
    struct stat status;
    if ((flags & AT_REMOVEDIR) || !is_inside(at, path, &name))
        return syscall(SYS_unlinkat, at, path, flags);
    lock();
    bool exists = fstatat(at, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
    struct file *file = exists ? find(&status) : NULL;
    int result;
    if (!exists || S_ISDIR(status.st_mode) || (ends_with(name, "-shm") && !control->includes_shm)) {
        result = syscall(SYS_unlinkat, at, path, flags);
    } else {
        struct record fields = {.op = UNLINK, .number = ++control->calls,
                                .file = file == NULL ? 0 : file->id};
        result = judge(UNLINK, name, fields.number) != OFF
                     ? refuse() : syscall(SYS_unlinkat, at, path, flags);
        if (result == 0) give_back(status.st_size);
        fields.error = code(result);
        record_named(fields, name);
    }
    if (result == 0 && file != NULL && status.st_nlink == 1) file->is_unlinked = true;
    unlock();
    return result;
}

static int rename_at(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    const char *old = from, *new = to;
    bool leaves = is_inside(from_at, from, &old), comes = is_inside(to_at, to, &new);
    if (!leaves && !comes) return syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    struct stat status, target;
    lock();
    struct file *file = fstatat(from_at, from, &status, 0) == 0 ? find(&status) : NULL;
    struct file *replaced = fstatat(to_at, to, &target, 0) == 0 ? find(&target) : NULL;
    struct record fields = {.op = leaves && comes && flags == 0 ? RENAME : ESCAPE,
                            .number = ++control->calls, .file = file == NULL ? 0 : file->id};
    int result = judge(RENAME, old, fields.number) != OFF
                     ? refuse() : syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (result == 0 && flags == 0) {
        if (replaced != NULL && replaced != file) replaced->is_unlinked = true;
        if (file != NULL && comes) memcpy(file->name, new, strlen(new) + 1);
    }
    fields.error = code(result);
    // Both names, with the end of the first between them.
    char names[2 * NAME_LIMIT];
    int length = snprintf(names, sizeof names, "%.255s%c%.255s", old, 0, new);
    record(fields, names, length, NULL);
    unlock();
    return result;
}

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return open_at(at, path, flags, mode);
}

int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int unlink(const char *path) { return unlink_at(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return unlink_at(at, path, flags); }

int rename(const char *from, const char *to) {
    return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int from_at, const char *from, int to_at, const char *to) {
    return rename_at(from_at, from, to_at, to, 0);
}
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    return rename_at(from_at, from, to_at, to, flags);
}

// What the headers call the same functions, depending on how a program was compiled.
#define ALSO(name, of) extern __typeof(of) name __attribute__((alias(#of)))
int __open_2(const char *path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return open_at(at, path, flags, 0); }
ALSO(open64, open);
ALSO(openat64, openat);
ALSO(creat64, creat);
ALSO(__open64_2, __open_2);
ALSO(__openat64_2, __openat_2);
ALSO(pwrite64, pwrite);
ALSO(pwritev64, pwritev);
ALSO(ftruncate64, ftruncate);
ALSO(fallocate64, fallocate);
ALSO(posix_fallocate64, posix_fallocate);
ALSO(pread64, pread);
ALSO(mmap64, mmap);
