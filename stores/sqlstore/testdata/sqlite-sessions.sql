CREATE TABLE IF NOT EXISTS "sessions" (
	id TEXT PRIMARY KEY NOT NULL,
	version INTEGER NOT NULL,
	user_id BLOB,
	last_access INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS "sessions_expires_at_idx" ON "sessions" (expires_at);
CREATE INDEX IF NOT EXISTS "sessions_user_id_idx" ON "sessions" (user_id) WHERE user_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS "sessions_locks" (
	id TEXT PRIMARY KEY NOT NULL,
	owner TEXT NOT NULL,
	expires_at INTEGER NOT NULL
);

-- load
SELECT version, last_access, expires_at, data FROM "sessions" WHERE id = ?;

-- create
INSERT INTO "sessions" AS old (id, version, user_id, last_access, expires_at, data) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET version = excluded.version, user_id = excluded.user_id, last_access = excluded.last_access, expires_at = excluded.expires_at, data = excluded.data WHERE old.expires_at <= ?;

-- update
UPDATE "sessions" SET version = ?, user_id = ?, last_access = ?, expires_at = ?, data = ? WHERE id = ? AND version = ? AND expires_at > ?;

-- touch
UPDATE "sessions" SET last_access = max(last_access, ?), expires_at = max(expires_at, ?) WHERE id = ? AND expires_at > ?;

-- deleteLive
DELETE FROM "sessions" WHERE id = ? AND expires_at > ?;

-- deleteAny
DELETE FROM "sessions" WHERE id = ?;

-- deleteVersion
DELETE FROM "sessions" WHERE id = ? AND version = ? AND expires_at > ?;

-- version
SELECT version FROM "sessions" WHERE id = ? AND expires_at > ?;

-- listUser
SELECT id, version, user_id, last_access, expires_at, substr(data, 1, 512) FROM "sessions" WHERE user_id = ? AND expires_at > ?;

-- list
SELECT id, version, user_id, last_access, expires_at, substr(data, 1, 512) FROM "sessions" WHERE id > ? AND expires_at > ? ORDER BY id LIMIT 500;

-- count
SELECT COUNT(*) FROM "sessions" WHERE expires_at > ?;

-- expire
DELETE FROM "sessions" WHERE id = ? AND expires_at <= ?;

-- expireTell
DELETE FROM "sessions" WHERE id = ? AND expires_at <= ? RETURNING id, version, user_id, last_access, expires_at, substr(data, 1, 512);

-- sweepTell
DELETE FROM "sessions" WHERE rowid IN (SELECT rowid FROM "sessions" WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?) RETURNING id, version, user_id, last_access, expires_at, substr(data, 1, 512);

-- sweep
DELETE FROM "sessions" WHERE rowid IN (SELECT rowid FROM "sessions" WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?);

-- lock
INSERT INTO "sessions_locks" AS old (id, owner, expires_at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at WHERE old.expires_at <= ?;

-- renew
UPDATE "sessions_locks" SET expires_at = ? WHERE id = ? AND owner = ?;

-- unlock
DELETE FROM "sessions_locks" WHERE id = ? AND owner = ?;

-- sweepLocks
DELETE FROM "sessions_locks" WHERE expires_at <= ?;

-- locked
SELECT id FROM "sessions_locks" WHERE id = ? AND expires_at > ?;

-- lockedMany
SELECT id FROM "sessions_locks" WHERE id IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) AND expires_at > ?;
