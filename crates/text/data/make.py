"""Writes o200k.bin.deflate: the o200k_base vocabulary as its merges.

usage: make.py PACKAGE_FOLDER OUT

PACKAGE_FOLDER is the unpacked npm package js-tiktoken 1.0.21 (MIT licence), whose
dist/ranks/o200k_base.js holds the token bytes in order of rank.

Every token of rank 256 and above is the join of two tokens of lower rank, so the file
holds those pairs and no bytes: the reader gets the merges for nothing and needs no search.
Layout before compression (raw deflate), all little endian:
  u32  number of merges
  256  the single bytes, in order of rank
  then for the left parts and for the right parts: all low bytes, all middle bytes, all
  high bytes of the ranks (planes compress better than records).
"""
import base64, json, re, struct, sys, zlib


def read_ranks(folder):
    source = open(f"{folder}/dist/ranks/o200k_base.js", encoding="utf-8").read()
    table = json.loads('"' + re.search(r'"bpe_ranks":"((?:[^"\\]|\\.)*)"', source).group(1) + '"')
    ranks = []
    for line in table.split("\n"):
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        assert int(fields[1]) == len(ranks), "ranks are contiguous"
        ranks += [base64.b64decode(field) for field in fields[2:]]
    return ranks


def two_parts(token, rank, rank_of):
    parts = [token[i : i + 1] for i in range(len(token))]
    while True:
        best, at = rank, -1
        for i in range(len(parts) - 1):
            found = rank_of.get(parts[i] + parts[i + 1], rank)
            if found < best:
                best, at = found, i
        if at < 0:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    assert len(parts) == 2, (rank, token, parts)
    return rank_of[parts[0]], rank_of[parts[1]]


def main(folder, out):
    ranks = read_ranks(folder)
    assert len(ranks) == 199998 and all(len(token) == 1 for token in ranks[:256])
    rank_of = {token: rank for rank, token in enumerate(ranks)}
    pairs = [two_parts(ranks[rank], rank, rank_of) for rank in range(256, len(ranks))]
    assert all(ranks[a] + ranks[b] == ranks[256 + i] for i, (a, b) in enumerate(pairs))
    data = struct.pack("<I", len(pairs)) + b"".join(ranks[:256])
    for side in (0, 1):
        for shift in (0, 8, 16):
            data += bytes(pair[side] >> shift & 255 for pair in pairs)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush()
    open(out, "wb").write(packed)
    print(len(ranks), "tokens,", len(data), "bytes, packed", len(packed))


main(*sys.argv[1:])
