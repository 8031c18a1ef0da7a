"""One libtorrent client on one host of the lab: the seed of a torrent, or a host that fetches it.

usage: bittorrent.py seed ADDRESS FOLDER TORRENT          makes TORRENT of what is in FOLDER, and serves it
       bittorrent.py fetch ADDRESS FOLDER TORRENT AT PEER...  fetches it into FOLDER from AT on, seconds since 1970

Prints one line of JSON: the seed when it listens, the others when they have everything. Both go on serving until they
are killed, as nodes do. Peers are named, so that no tracker, DHT or multicast is waited for.
"""

import json
import os
import sys
import time

import libtorrent as lt

PORT = 6881


def session(address):
    return lt.session(
        {
            "listen_interfaces": f"{address}:{PORT}",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            # uTP gives way to other traffic by intent; here there is none, and TCP is faster.
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            # A peer that starts later refuses the first attempt.
            "min_reconnect_time": 1,
            "connections_limit": 1000,
        }
    )


def say(**facts):
    print(json.dumps(facts), flush=True)


def seed(address, folder, path):
    files = lt.file_storage()
    lt.add_files(files, folder)
    made = lt.create_torrent(files, 0, lt.create_torrent.v1_only)
    parent = os.path.dirname(folder)
    lt.set_piece_hashes(made, parent)
    with open(path, "wb") as out:
        out.write(lt.bencode(made.generate()))
    here = session(address)
    torrent = here.add_torrent(
        {"ti": lt.torrent_info(path), "save_path": parent, "flags": lt.torrent_flags.seed_mode}
    )
    while not here.is_listening() or torrent.status().state != lt.torrent_status.seeding:
        time.sleep(0.01)
    say(listening=True)
    return here


def fetch(address, folder, path, at, peers):
    here = session(address)
    time.sleep(max(0, float(at) - time.time()))
    began = time.time()
    torrent = here.add_torrent({"ti": lt.torrent_info(path), "save_path": folder})
    for peer in peers:
        torrent.connect_peer((peer, PORT))
    while not torrent.status().is_seeding:
        time.sleep(0.01)
    say(began=began, ended=time.time())
    return here


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "seed":
        kept = seed(*rest)
    else:
        address, folder, path, at, *peers = rest
        kept = fetch(address, folder, path, at, peers)
    while True:
        time.sleep(3600)
