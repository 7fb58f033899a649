/// A store of version 2, as the version of the program that made it left it: that of version 1, brought to
/// it, with a message to one client and the key of a request.
/// Never changed, as stores of this kind are about.
let schemaVersion2 =
  schemaVersion1 + """
    CREATE INDEX subscription_reader ON subscription (filter, session, options)
      WHERE options & 3 <> 0;
    CREATE TABLE request (key BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX request_until ON request (until);
    INSERT INTO meta VALUES ('requests', 1);
    INSERT INTO request VALUES (CAST('publish-1' AS BLOB), 1900000000);
    INSERT INTO filter VALUES (7, X'240030303030303030313030303030303032', 0, 1, 1);
    INSERT INTO subscription VALUES (4294967298, 7, 130, 0, 7);
    INSERT INTO log VALUES
      (8, 1, 1, 88, 1700000000, 0,
       X'5800000000000000000000000000000000000000010000000300000000000000\
    2200010001000000070000002400303030303030303130303030303030323030\
    3036726561646572707573682F31796F7500000000000000');
    INSERT INTO entry VALUES (7, 8, X'0000');
    UPDATE meta SET value = 9 WHERE name = 'next-sequence';
    UPDATE meta SET value = 7 WHERE name = 'messages';
    UPDATE meta SET value = 448 WHERE name = 'bytes';
    PRAGMA user_version = 2;
    """
