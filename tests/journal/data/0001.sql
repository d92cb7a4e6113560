BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE decisions (
	number BIGINT NOT NULL, 
	at_s FLOAT NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "decisions" VALUES(0,1760000000.0,'{"number":0,"at_s":1760000000.0,"mode":"predictive","moves":[]}');
INSERT INTO "decisions" VALUES(1,1760000060.0,'{"number":1,"at_s":1760000060.0,"mode":"predictive","moves":[]}');
INSERT INTO "decisions" VALUES(2,1760000120.0,'{"number":2,"at_s":1760000120.0,"mode":"predictive","moves":[]}');
CREATE TABLE meta (
	name VARCHAR NOT NULL, 
	value BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('owners',1);
INSERT INTO "meta" VALUES('generation',4);
CREATE TABLE migration_records (
	number INTEGER NOT NULL, 
	migration_id VARCHAR NOT NULL, 
	step VARCHAR NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "migration_records" VALUES(1,'84-JFK-LAX','prepare','{"migration_id":"84-JFK-LAX","order_param":"JFK-LAX","source":"shard-3","destination":"shard-1","epoch":1,"step":"prepare","reason":"p90 at 14:10 would put shard-3 at 112 % of CPU","started_s":1760000000.25,"finished_s":null,"messages_copied":0,"bytes_copied":0,"pause_ms":null,"error":""}');
INSERT INTO "migration_records" VALUES(2,'84-JFK-LAX','precopied','{"migration_id":"84-JFK-LAX","order_param":"JFK-LAX","source":"shard-3","destination":"shard-1","epoch":1,"step":"precopied","reason":"p90 at 14:10 would put shard-3 at 112 % of CPU","started_s":1760000000.25,"finished_s":null,"messages_copied":41,"bytes_copied":8589934592,"pause_ms":null,"error":""}');
INSERT INTO "migration_records" VALUES(3,'84-JFK-LAX','paused','{"migration_id":"84-JFK-LAX","order_param":"JFK-LAX","source":"shard-3","destination":"shard-1","epoch":1,"step":"paused","reason":"p90 at 14:10 would put shard-3 at 112 % of CPU","started_s":1760000000.25,"finished_s":null,"messages_copied":82,"bytes_copied":17179869184,"pause_ms":null,"error":""}');
INSERT INTO "migration_records" VALUES(4,'84-JFK-LAX','sealing','{"migration_id":"84-JFK-LAX","order_param":"JFK-LAX","source":"shard-3","destination":"shard-1","epoch":1,"step":"sealing","reason":"p90 at 14:10 would put shard-3 at 112 % of CPU","started_s":1760000000.25,"finished_s":null,"messages_copied":123,"bytes_copied":25769803776,"pause_ms":null,"error":""}');
INSERT INTO "migration_records" VALUES(5,'84-JFK-LAX','sealed','{"migration_id":"84-JFK-LAX","order_param":"JFK-LAX","source":"shard-3","destination":"shard-1","epoch":1,"step":"sealed","reason":"p90 at 14:10 would put shard-3 at 112 % of CPU","started_s":1760000000.25,"finished_s":null,"messages_copied":123,"bytes_copied":25769803776,"pause_ms":null,"error":""}');
INSERT INTO "migration_records" VALUES(6,'84-JFK-LAX','activating','{"migration_id":"84-JFK-LAX","order_param":"JFK-LAX","source":"shard-3","destination":"shard-1","epoch":1,"step":"activating","reason":"p90 at 14:10 would put shard-3 at 112 % of CPU","started_s":1760000000.25,"finished_s":null,"messages_copied":123,"bytes_copied":25769803776,"pause_ms":11.75,"error":""}');
INSERT INTO "migration_records" VALUES(7,'84-JFK-LAX','mapped','{"migration_id":"84-JFK-LAX","order_param":"JFK-LAX","source":"shard-3","destination":"shard-1","epoch":1,"step":"mapped","reason":"p90 at 14:10 would put shard-3 at 112 % of CPU","started_s":1760000000.25,"finished_s":null,"messages_copied":123,"bytes_copied":25769803776,"pause_ms":11.75,"error":""}');
INSERT INTO "migration_records" VALUES(8,'84-JFK-LAX','done','{"migration_id":"84-JFK-LAX","order_param":"JFK-LAX","source":"shard-3","destination":"shard-1","epoch":1,"step":"done","reason":"p90 at 14:10 would put shard-3 at 112 % of CPU","started_s":1760000000.25,"finished_s":1760000000.75,"messages_copied":123,"bytes_copied":25769803776,"pause_ms":11.75,"error":""}');
INSERT INTO "migration_records" VALUES(9,'api-1','prepare','{"migration_id":"api-1","order_param":"tenant/7/orders","source":"shard-1","destination":"shard-2","epoch":1,"step":"prepare","reason":"","started_s":1760000100.0,"finished_s":null,"messages_copied":0,"bytes_copied":0,"pause_ms":null,"error":""}');
INSERT INTO "migration_records" VALUES(10,'api-1','prepare','{"migration_id":"api-1","order_param":"tenant/7/orders","source":"shard-1","destination":"shard-2","epoch":1,"step":"prepare","reason":"","started_s":1760000100.0,"finished_s":null,"messages_copied":0,"bytes_copied":0,"pause_ms":null,"error":"copy backlog failed: no answer"}');
INSERT INTO "migration_records" VALUES(11,'api-1','aborted','{"migration_id":"api-1","order_param":"tenant/7/orders","source":"shard-1","destination":"shard-2","epoch":1,"step":"aborted","reason":"","started_s":1760000100.0,"finished_s":1760000103.5,"messages_copied":0,"bytes_copied":0,"pause_ms":null,"error":"copy backlog failed: no answer"}');
INSERT INTO "migration_records" VALUES(12,'85-café ☕','prepare','{"migration_id":"85-caf\u00e9 \u2615","order_param":"caf\u00e9 \u2615 ''quoted''; --","source":"shard-2","destination":"shard-4","epoch":1,"step":"prepare","reason":"it''s \"hot\"","started_s":1760000200.0,"finished_s":null,"messages_copied":0,"bytes_copied":0,"pause_ms":null,"error":""}');
INSERT INTO "migration_records" VALUES(13,'85-café ☕','sealed','{"migration_id":"85-caf\u00e9 \u2615","order_param":"caf\u00e9 \u2615 ''quoted''; --","source":"shard-2","destination":"shard-4","epoch":1,"step":"sealed","reason":"it''s \"hot\"","started_s":1760000200.0,"finished_s":null,"messages_copied":9,"bytes_copied":1800,"pause_ms":null,"error":""}');
CREATE TABLE migrations (
	migration_id VARCHAR NOT NULL, 
	order_param VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	destination VARCHAR NOT NULL, 
	epoch BIGINT NOT NULL, 
	step VARCHAR NOT NULL, 
	reason TEXT NOT NULL, 
	started_s FLOAT NOT NULL, 
	finished_s FLOAT, 
	messages_copied BIGINT NOT NULL, 
	bytes_copied BIGINT NOT NULL, 
	pause_ms FLOAT, 
	error TEXT NOT NULL, 
	seal TEXT, 
	PRIMARY KEY (migration_id)
);
INSERT INTO "migrations" VALUES('84-JFK-LAX','JFK-LAX','shard-3','shard-1',1,'done','p90 at 14:10 would put shard-3 at 112 % of CPU',1760000000.25,1760000000.75,123,25769803776,11.75,'','{"order_param":"JFK-LAX","migration_id":"84-JFK-LAX","epoch":2,"final_seq":1099511627776,"acked_seq":1099511627769,"delivered_seq":1099511627774,"bytes_total":2199023255552,"producers":[{"producer":"p","producer_seq":3,"seq":1099511627776},{"producer":"q\n","producer_seq":1,"seq":8}]}');
INSERT INTO "migrations" VALUES('api-1','tenant/7/orders','shard-1','shard-2',1,'aborted','',1760000100.0,1760000103.5,0,0,NULL,'copy backlog failed: no answer',NULL);
INSERT INTO "migrations" VALUES('85-café ☕','café ☕ ''quoted''; --','shard-2','shard-4',1,'sealed','it''s "hot"',1760000200.0,NULL,9,1800,NULL,'','{"order_param":"caf\u00e9 \u2615 ''quoted''; --","migration_id":"85-caf\u00e9 \u2615","epoch":2,"final_seq":9,"acked_seq":9,"delivered_seq":9,"bytes_total":1800,"producers":[]}');
CREATE TABLE placements (
	order_param VARCHAR NOT NULL, 
	shards TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	PRIMARY KEY (order_param)
);
INSERT INTO "placements" VALUES('JFK-LAX','["shard-1"]',2);
INSERT INTO "placements" VALUES('tenant/7/orders','["shard-1"]',1);
INSERT INTO "placements" VALUES('café ☕ ''quoted''; --','["shard-2"]',1);
CREATE INDEX migrations_by_step ON migrations (step);
CREATE INDEX migrations_by_start ON migrations (started_s);
CREATE INDEX ix_migration_records_migration_id ON migration_records (migration_id);
COMMIT;
