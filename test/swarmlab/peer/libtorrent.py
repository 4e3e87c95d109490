"""A client of libtorrent-rasterbar. Arguments: a .torrent file, a directory, address:port to listen at.

It writes how far it is as lines of JSON, seeds once it has everything, and ends when standard input closes.
"""

import json
import os
import sys
import threading
import time

import libtorrent


def follow(stdin):
    stdin.read()
    os._exit(0)


torrent, directory, listen = sys.argv[1:]
threading.Thread(target=follow, args=(sys.stdin,), daemon=True).start()
session = libtorrent.session({
    "listen_interfaces": listen,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
})
handle = session.add_torrent({"ti": libtorrent.torrent_info(torrent), "save_path": directory})
while True:
    status = handle.status()
    have = status.total_wanted if status.is_seeding else min(status.total_wanted_done, status.total_wanted - 1)
    print(json.dumps({"have": have, "uploaded": status.total_payload_upload}), flush=True)
    time.sleep(0.25)
