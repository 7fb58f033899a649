/// A store of version 1, as the first version of the program left it when it was killed: two
/// sessions with what they are owed, have in flight and did not read, a shared subscription of which
/// one message is in a window, one was handed to somebody who is not stored and one was not handed out,
/// and two retained messages.
/// Never changed, as stores of this kind are about.
let schemaVersion1 = """
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE filter (
    id INTEGER PRIMARY KEY, text BLOB NOT NULL UNIQUE, is_wildcard INTEGER NOT NULL,
    subscriptions INTEGER NOT NULL, readers INTEGER NOT NULL);
  CREATE INDEX filter_wildcard ON filter (id) WHERE is_wildcard = 1;
  CREATE TABLE session (
    id INTEGER PRIMARY KEY, client BLOB NOT NULL UNIQUE, version INTEGER NOT NULL,
    connected INTEGER NOT NULL, expiry_interval INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    will_due_at INTEGER NOT NULL, due INTEGER NOT NULL, will BLOB);
  CREATE INDEX session_due ON session (due) WHERE due > 0;
  CREATE INDEX session_connected ON session (connected) WHERE connected > 0;
  CREATE TABLE missed (session INTEGER PRIMARY KEY, messages INTEGER NOT NULL);
  CREATE TABLE progress (
    session INTEGER PRIMARY KEY, cursor INTEGER NOT NULL, next_packet_id INTEGER NOT NULL,
    window BLOB NOT NULL, inbound BLOB NOT NULL);
  CREATE TABLE subscription (
    session INTEGER NOT NULL, filter INTEGER NOT NULL, options INTEGER NOT NULL,
    identifier INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (session, filter)) WITHOUT ROWID;
  CREATE TABLE share (
    id INTEGER PRIMARY KEY AUTOINCREMENT, filter INTEGER NOT NULL UNIQUE, inner INTEGER NOT NULL,
    cursor INTEGER NOT NULL, pending BLOB NOT NULL);
  CREATE TABLE log (
    sequence INTEGER PRIMARY KEY, span INTEGER NOT NULL, messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL, appended_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    body BLOB NOT NULL);
  CREATE INDEX log_expiry ON log (expires_at) WHERE expires_at > 0;
  CREATE TABLE owed (sequence INTEGER PRIMARY KEY, counts BLOB NOT NULL);
  CREATE TABLE entry (
    filter INTEGER NOT NULL, sequence INTEGER NOT NULL, places BLOB NOT NULL,
    PRIMARY KEY (filter, sequence)) WITHOUT ROWID;
  CREATE TABLE unread (
    filter INTEGER NOT NULL, sequence INTEGER NOT NULL, total INTEGER NOT NULL,
    PRIMARY KEY (filter, sequence)) WITHOUT ROWID;
  CREATE TABLE retained (
    id INTEGER PRIMARY KEY, topic BLOB NOT NULL UNIQUE, qos INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, properties BLOB NOT NULL, payload BLOB NOT NULL);
  CREATE INDEX retained_expiry ON retained (expires_at) WHERE expires_at > 0;
  INSERT INTO meta VALUES
    ('bytes', 360),
    ('clock', 1700000000),
    ('epoch', 1),
    ('messages', 6),
    ('next-sequence', 8),
    ('retained', 2),
    ('retained-bytes', 21),
    ('sessions', 2),
    ('unread', 1);
  INSERT INTO filter VALUES
    (1, CAST('light/+' AS BLOB), 1, 1, 1),
    (2, CAST('light/1' AS BLOB), 0, 1, 1),
    (3, CAST('$share/group/jobs' AS BLOB), 0, 1, 1),
    (4, CAST('light/#' AS BLOB), 1, 1, 1),
    (5, CAST('news' AS BLOB), 0, 1, 0),
    (6, CAST('jobs' AS BLOB), 0, 1, 1);
  INSERT INTO session VALUES
    (4294967297, CAST('lamp' AS BLOB), 5, 1, 3600, 0, 0, 0,
     X'01010B003C0000001E000000020000007374617475732F6C616D700101676F6E65'),
    (4294967298, CAST('reader' AS BLOB), 4, 0, 4294967295, 0, 0, 0, NULL);
  INSERT INTO progress VALUES
    (4294967297, 2, 7,
     X'0200000000000000090000000500010200000000000000000000000004000202\
  060000000000000000000000060002120100000000000000',
     X'07002C01'),
    (4294967298, 0, 1, X'', X'');
  INSERT INTO subscription VALUES
    (4294967297, 1, 2, 9, 0),
    (4294967297, 2, 1, 0, 0),
    (4294967297, 3, 65, 0, 0),
    (4294967298, 4, 1, 0, 0),
    (4294967298, 5, 0, 0, 0);
  INSERT INTO share VALUES
    (1, 3, 6, 6, X'0500000000000000');
  INSERT INTO log VALUES
    (2, 3, 3, 192, 1700000000, 0,
     X'4800000000000000000000000000000000000000030000000200000004000000\
  07000300020000000200000004000000010000006C696768742F31030001786F6E00000000000000\
  40000000010000000200000001000000000000000200000003000000000000000700020001010000\
  04000000010000006C696768742F326F666600000000000038000000020000000000000000000000\
  00B33F710100000003000000000000000900010001000000040000006C696768742F312F7864696D'),
    (5, 3, 3, 168, 1700000000, 0,
     X'38000000000000000000000000000000000000000100000003000000000000000400010001000000\
  060000006A6F62736F6E650000000000380000000100000000000000000000000000000001000000\
  03000000000000000400010002000000060000006A6F627374776F00000000003800000002000000\
  00000000000000000000000001000000050000000000000004000100010000000600000\
  06A6F62737468726565000000');
  INSERT INTO owed VALUES
    (2, X'020000000200000001000000');
  INSERT INTO entry VALUES
    (1, 2, X'00000100'),
    (2, 2, X'0000'),
    (4, 2, X'000001000200'),
    (6, 5, X'000001000200');
  INSERT INTO unread VALUES
    (1, 1, 1),
    (2, 1, 1),
    (4, 1, 1);
  INSERT INTO retained VALUES
    (1, CAST('light/2' AS BLOB), 1, 0, X'', CAST('off' AS BLOB)),
    (2, CAST('news' AS BLOB), 0, 1900000000, X'0101', CAST('daily' AS BLOB));
  PRAGMA user_version = 1;
  PRAGMA application_id = 1111905108;
  """
