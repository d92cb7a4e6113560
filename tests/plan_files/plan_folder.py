"""Builder of plan folders: every test says only what differs from a small sound one."""

import pyarrow as pa
import pyarrow.parquet as pq

SHARDS = "shard,zone,cpu,memory\ns1,east,10,100\ns2,east,10,100\ns3,west,10,\n"
ORDER_PARAMS = """\
order_param,shard,move_cost,cpu,memory
a,s1,1,6,10
b,s1,2,5,10
c,s2,1,3,10
d,s3,1,4,10
"""


def write(folder, *, shards=SHARDS, order_params=ORDER_PARAMS, loads=None):
    """Write a folder and return it. `loads` is a dict of columns for loads.parquet; None leaves a file out."""
    folder.mkdir(exist_ok=True)
    for name, text in (("shards.csv", shards), ("order_params.csv", order_params)):
        if text is not None:
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    if loads is not None:
        pq.write_table(pa.table(loads), folder / "loads.parquet")
    return folder
