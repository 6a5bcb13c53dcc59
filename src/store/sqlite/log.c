/* A VFS for the connection that writes the index: the platform's own, but that what is written into the write-ahead log is gathered and goes to
   the system in one piece. SQLite writes two pieces for each page, some fifty for a commit; for the system each is as much work as one
   of a hundred times the octets.

   What was gathered is written before anything else is done with the file, its sync before all: so the connection must be one that syncs the
   log with each commit (PRAGMA synchronous = FULL), for others learn of a commit only after that. A log that was written in part is
   what a crash leaves behind without this too: SQLite knows by checksums how far it holds.

   What is still here when no transaction is open is of one that was given up, and must not be written any more: once the lock is gone,
   another process's commit can be in its place. */
#include <sqlite3.h>
#include <string.h>

/* Octets that are gathered: those of some thirty pages. The platform's VFS writes less than 128 KiB at a time, and takes more than that for a
   full disk if what is left comes out even. */
enum { MOST = 124 * 1024 };

/* The log's file; what the platform's VFS keeps of it follows. */
typedef struct {
    sqlite3_file base;
    /* Where what is gathered goes. */
    sqlite3_int64 at;
    int count;
    unsigned char *octets;
} Log;

static sqlite3_vfs *platform;

static Log *log_of(sqlite3_file *file) { return (Log *)file; }

static sqlite3_file *real(sqlite3_file *file) { return (sqlite3_file *)(log_of(file) + 1); }

static int write_out(sqlite3_file *file) {
    Log *log = log_of(file);
    int count = log->count;

    /* If it fails, so does the transaction, and SQLite writes its successor over it. */
    log->count = 0;
    return count == 0 ? SQLITE_OK : real(file)->pMethods->xWrite(real(file), log->octets, count, log->at);
}

static int log_write(sqlite3_file *file, const void *octets, int count, sqlite3_int64 at) {
    Log *log = log_of(file);

    if (at != log->at + log->count || count > MOST - log->count) {
        int result = write_out(file);
        if (result != SQLITE_OK)
            return result;
        log->at = at;
    }
    if (count > MOST)
        return real(file)->pMethods->xWrite(real(file), octets, count, at);
    memcpy(log->octets + log->count, octets, (size_t)count);
    log->count += count;
    return SQLITE_OK;
}

static int log_close(sqlite3_file *file) {
    sqlite3_free(log_of(file)->octets);
    return real(file)->pMethods->xClose(real(file));
}

/* Everything else: first what was gathered, then the platform's. */
#define AFTER(call)                                                                                                                            \
    do {                                                                                                                                       \
        int result = write_out(file);                                                                                                          \
        return result != SQLITE_OK ? result : real(file)->pMethods->call;                                                                      \
    } while (0)

static int log_read(sqlite3_file *file, void *octets, int count, sqlite3_int64 at) { AFTER(xRead(real(file), octets, count, at)); }

static int log_truncate(sqlite3_file *file, sqlite3_int64 size) { AFTER(xTruncate(real(file), size)); }

static int log_sync(sqlite3_file *file, int flags) { AFTER(xSync(real(file), flags)); }

static int log_size(sqlite3_file *file, sqlite3_int64 *size) { AFTER(xFileSize(real(file), size)); }

static int log_control(sqlite3_file *file, int what, void *argument) { AFTER(xFileControl(real(file), what, argument)); }

/* Nobody locks a log; the file of the database has the locks. */
static int log_lock(sqlite3_file *file, int level) { return real(file)->pMethods->xLock(real(file), level); }

static int log_unlock(sqlite3_file *file, int level) { return real(file)->pMethods->xUnlock(real(file), level); }

static int log_is_reserved(sqlite3_file *file, int *is_reserved) { return real(file)->pMethods->xCheckReservedLock(real(file), is_reserved); }

static int log_sector(sqlite3_file *file) { return real(file)->pMethods->xSectorSize(real(file)); }

static int log_device(sqlite3_file *file) { return real(file)->pMethods->xDeviceCharacteristics(real(file)); }

static const sqlite3_io_methods methods = {
    .iVersion = 1, /* No shared memory and no mapping: of a log nobody asks for them. */
    .xClose = log_close,
    .xRead = log_read,
    .xWrite = log_write,
    .xTruncate = log_truncate,
    .xSync = log_sync,
    .xFileSize = log_size,
    .xLock = log_lock,
    .xUnlock = log_unlock,
    .xCheckReservedLock = log_is_reserved,
    .xFileControl = log_control,
    .xSectorSize = log_sector,
    .xDeviceCharacteristics = log_device,
};

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *given) {
    Log *log = log_of(file);
    int result;

    (void)vfs;
    if (!(flags & SQLITE_OPEN_WAL))
        return platform->xOpen(platform, name, file, flags, given);
    /* Without methods nobody closes it. */
    memset(log, 0, sizeof *log);
    log->octets = sqlite3_malloc(MOST);
    if (log->octets == NULL)
        return SQLITE_NOMEM;
    result = platform->xOpen(platform, name, real(file), flags, given);
    if (result == SQLITE_OK)
        file->pMethods = &methods;
    else
        sqlite3_free(log->octets);
    return result;
}

static void forget(void *connection) {
    sqlite3_file *file = NULL;
    int result = sqlite3_file_control(connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);

    if (result == SQLITE_OK && file != NULL && file->pMethods == &methods)
        log_of(file)->count = 0;
}

/* For each new connection. SQLite calls back however a transaction ends but by its commit, before anything else is done. */
static int forget_at_rollback(sqlite3 *connection, char **error, const struct sqlite3_api_routines *api) {
    (void)error;
    (void)api;
    sqlite3_rollback_hook(connection, forget, connection);
    return SQLITE_OK;
}

static sqlite3_vfs gathering;

__attribute__((constructor)) static void start(void) {
    platform = sqlite3_vfs_find(NULL);
    if (platform == NULL)
        return;
    /* All but the opening of files, its functions find what they need by themselves. */
    gathering = *platform;
    gathering.pNext = NULL;
    gathering.zName = "gathering";
    gathering.szOsFile += (int)sizeof(Log);
    gathering.xOpen = open_file;
    if (sqlite3_auto_extension((void (*)(void))forget_at_rollback) == SQLITE_OK)
        sqlite3_vfs_register(&gathering, 0);
}
