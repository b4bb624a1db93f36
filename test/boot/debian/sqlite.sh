#!/bin/bash
# TIMEOUT: 120
# sqlite3 on tmpfs: transactions, indices, journal modes, a second process, integrity
set -e
sqlite3 t.db <<'END'
create table t(id integer primary key, name text, v real);
begin;
with recursive c(i) as (select 1 union all select i + 1 from c where i < 20000)
insert into t select i, 'name' || (i % 977), i * 0.5 from c;
commit;
create index ti on t(name);
select count(*), sum(v), max(name) from t;
select name, count(*) from t group by name order by 2 desc, 1 limit 3;
begin; delete from t; rollback;
select count(*) from t where name = 'name5';
pragma integrity_check;
END
sqlite3 t.db 'pragma journal_mode=wal; insert into t values(20001, "wal", 1);'
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 20000' t.db "insert into t(name) values('p$i')" & done; wait
sqlite3 t.db "select count(*) from t; pragma wal_checkpoint(truncate); vacuum; pragma integrity_check;"
sqlite3 t.db .dump | tail -n 2
sqlite3 copy.db 'attach "t.db" as o; create table c as select * from o.t; select count(*) from c;'
sqlite3 t.db 'select nonsense' 2>&1 | head -n 1; sqlite3 :memory: 'select sqrt(2) > 1.414, upper("x"), json_extract("{""a"":5}", "$.a");'
