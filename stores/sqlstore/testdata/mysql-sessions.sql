CREATE TABLE IF NOT EXISTS `sessions` (
	id CHAR(22) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
	version BIGINT NOT NULL,
	user_id VARBINARY(255),
	last_access BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	data MEDIUMBLOB NOT NULL
) ENGINE=InnoDB;
CREATE INDEX `sessions_expires_at_idx` ON `sessions` (expires_at);
CREATE INDEX `sessions_user_id_idx` ON `sessions` (user_id);
CREATE TABLE IF NOT EXISTS `sessions_locks` (
	id CHAR(22) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
	owner CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	expires_at BIGINT NOT NULL
) ENGINE=InnoDB;

-- load
SELECT version, last_access, expires_at, data FROM `sessions` WHERE id = ?;

-- create
INSERT IGNORE INTO `sessions` (id, version, user_id, last_access, expires_at, data) VALUES (?, ?, ?, ?, ?, ?);

-- replace
UPDATE `sessions` SET version = ?, user_id = ?, last_access = ?, expires_at = ?, data = ? WHERE id = ? AND expires_at <= ?;

-- update
UPDATE `sessions` SET version = ?, user_id = ?, last_access = ?, expires_at = ?, data = ? WHERE id = ? AND version = ? AND expires_at > ?;

-- touch
UPDATE `sessions` SET last_access = GREATEST(last_access, ?), expires_at = GREATEST(expires_at, ?) WHERE id = ? AND expires_at > ?;

-- deleteLive
DELETE FROM `sessions` WHERE id = ? AND expires_at > ?;

-- deleteAny
DELETE FROM `sessions` WHERE id = ?;

-- deleteVersion
DELETE FROM `sessions` WHERE id = ? AND version = ? AND expires_at > ?;

-- version
SELECT version FROM `sessions` WHERE id = ? AND expires_at > ?;

-- listUser
SELECT id, version, user_id, last_access, expires_at, substr(data, 1, 512) FROM `sessions` WHERE user_id = ? AND expires_at > ?;

-- list
SELECT id, version, user_id, last_access, expires_at, substr(data, 1, 512) FROM `sessions` WHERE id > ? AND expires_at > ? ORDER BY id LIMIT 500;

-- count
SELECT COUNT(*) FROM `sessions` WHERE expires_at > ?;

-- expire
DELETE FROM `sessions` WHERE id = ? AND expires_at <= ?;

-- expireTell
SELECT id, version, user_id, last_access, expires_at, substr(data, 1, 512) FROM `sessions` WHERE id = ? AND expires_at <= ?;

-- sweepTell
SELECT id, version, user_id, last_access, expires_at, substr(data, 1, 512) FROM `sessions` WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?;

-- sweepOne
DELETE FROM `sessions` WHERE id = ? AND expires_at >= ? AND expires_at < ?;

-- sweepFind
SELECT id FROM `sessions` WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?;

-- sweepFound
DELETE FROM `sessions` WHERE expires_at + 0 >= ? AND expires_at + 0 < ? AND id IN (?, ?, ?);

-- lock
INSERT IGNORE INTO `sessions_locks` (id, owner, expires_at) VALUES (?, ?, ?);

-- relock
UPDATE `sessions_locks` SET owner = ?, expires_at = ? WHERE id = ? AND expires_at <= ?;

-- renew
UPDATE `sessions_locks` SET expires_at = ? WHERE id = ? AND owner = ?;

-- unlock
DELETE FROM `sessions_locks` WHERE id = ? AND owner = ?;

-- sweepLocks
DELETE FROM `sessions_locks` WHERE expires_at <= ?;

-- locked
SELECT id FROM `sessions_locks` WHERE id = ? AND expires_at > ?;

-- lockedMany
SELECT id FROM `sessions_locks` WHERE id IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) AND expires_at > ?;
