#ifndef BIFROST_CSQLITE_H
#define BIFROST_CSQLITE_H

#include <sqlite3.h>

// What Swift's importer can't see of SQLite: a destructor that is a number, and variadic calls.

/// Binds bytes that SQLite copies. Returns SQLITE_OK or an error.
static inline int csqlite_bind_copy(sqlite3_stmt *statement, int index, const void *bytes, sqlite3_uint64 count) {
    return sqlite3_bind_blob64(statement, index, bytes, count, SQLITE_TRANSIENT);
}

/// Binds bytes that stay as they are until the statement is reset. Returns SQLITE_OK or an error.
static inline int csqlite_bind_lent(sqlite3_stmt *statement, int index, const void *bytes, sqlite3_uint64 count) {
    return sqlite3_bind_blob64(statement, index, bytes, count, SQLITE_STATIC);
}

/// Binds a text that lives as long as the program. Returns SQLITE_OK or an error.
static inline int csqlite_bind_text(sqlite3_stmt *statement, int index, const unsigned char *text, int count) {
    return sqlite3_bind_text(statement, index, (const char *)text, count, SQLITE_STATIC);
}

/// Turns the use of double-quoted text as a string off.
static inline void csqlite_defend(sqlite3 *database) {
    sqlite3_db_config(database, SQLITE_DBCONFIG_DQS_DML, 0, (int *)0);
    sqlite3_db_config(database, SQLITE_DBCONFIG_DQS_DDL, 0, (int *)0);
}

/// What `csqlite_count_log` installs.
static inline int csqlite_note_log(void *pages, sqlite3 *database, const char *name, int count) {
    (void)database;
    (void)name;
    *(int *)pages = count;
    return SQLITE_OK;
}

/// Writes to `pages` after each commit how many pages the write-ahead log has. SQLite then makes no
/// checkpoints by itself.
static inline void csqlite_count_log(sqlite3 *database, int *pages) {
    sqlite3_wal_hook(database, csqlite_note_log, pages);
}

#endif
