CREATE TABLE IF NOT EXISTS "app"."sessions" (
	id TEXT COLLATE "C" PRIMARY KEY,
	version BIGINT NOT NULL,
	user_id BYTEA,
	last_access BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	data BYTEA NOT NULL
);
CREATE INDEX IF NOT EXISTS "sessions_expires_at_idx" ON "app"."sessions" (expires_at);
CREATE INDEX IF NOT EXISTS "sessions_user_id_idx" ON "app"."sessions" (user_id) WHERE user_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS "app"."sessions_locks" (
	id TEXT COLLATE "C" PRIMARY KEY,
	owner TEXT NOT NULL,
	expires_at BIGINT NOT NULL
);

-- load
SELECT version, last_access, expires_at, data FROM "app"."sessions" WHERE id = $1;

-- create
INSERT INTO "app"."sessions" AS old (id, version, user_id, last_access, expires_at, data) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET version = excluded.version, user_id = excluded.user_id, last_access = excluded.last_access, expires_at = excluded.expires_at, data = excluded.data WHERE old.expires_at <= $7;

-- update
UPDATE "app"."sessions" SET version = $1, user_id = $2, last_access = $3, expires_at = $4, data = $5 WHERE id = $6 AND version = $7 AND expires_at > $8;

-- touch
UPDATE "app"."sessions" SET last_access = GREATEST(last_access, $1), expires_at = GREATEST(expires_at, $2) WHERE id = $3 AND expires_at > $4;

-- deleteLive
DELETE FROM "app"."sessions" WHERE id = $1 AND expires_at > $2;

-- deleteAny
DELETE FROM "app"."sessions" WHERE id = $1;

-- deleteVersion
DELETE FROM "app"."sessions" WHERE id = $1 AND version = $2 AND expires_at > $3;

-- version
SELECT version FROM "app"."sessions" WHERE id = $1 AND expires_at > $2;

-- listUser
SELECT id, version, user_id, last_access, expires_at, substr(data, 1, 512) FROM "app"."sessions" WHERE user_id = $1 AND expires_at > $2;

-- list
SELECT id, version, user_id, last_access, expires_at, substr(data, 1, 512) FROM "app"."sessions" WHERE id > $1 AND expires_at > $2 ORDER BY id LIMIT 500;

-- count
SELECT COUNT(*) FROM "app"."sessions" WHERE expires_at > $1;

-- expire
DELETE FROM "app"."sessions" WHERE id = $1 AND expires_at <= $2;

-- expireTell
DELETE FROM "app"."sessions" WHERE id = $1 AND expires_at <= $2 RETURNING id, version, user_id, last_access, expires_at, substr(data, 1, 512);

-- sweepTell
DELETE FROM "app"."sessions" WHERE id = ANY (ARRAY(SELECT id FROM "app"."sessions" WHERE expires_at >= $1 AND expires_at < $2 ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING id, version, user_id, last_access, expires_at, substr(data, 1, 512);

-- sweep
DELETE FROM "app"."sessions" WHERE id = ANY (ARRAY(SELECT id FROM "app"."sessions" WHERE expires_at >= $1 AND expires_at < $2 ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED));

-- lock
INSERT INTO "app"."sessions_locks" AS old (id, owner, expires_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at WHERE old.expires_at <= $4;

-- renew
UPDATE "app"."sessions_locks" SET expires_at = $1 WHERE id = $2 AND owner = $3;

-- unlock
DELETE FROM "app"."sessions_locks" WHERE id = $1 AND owner = $2;

-- sweepLocks
DELETE FROM "app"."sessions_locks" WHERE expires_at <= $1;

-- locked
SELECT id FROM "app"."sessions_locks" WHERE id = $1 AND expires_at > $2;

-- lockedMany
SELECT id FROM "app"."sessions_locks" WHERE id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57, $58, $59, $60, $61, $62, $63, $64, $65, $66, $67, $68, $69, $70, $71, $72, $73, $74, $75, $76, $77, $78, $79, $80, $81, $82, $83, $84, $85, $86, $87, $88, $89, $90, $91, $92, $93, $94, $95, $96, $97, $98, $99, $100) AND expires_at > $101;
