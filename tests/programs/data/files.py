import csv, glob, io, json, os, pathlib, shutil, stat, sys, tempfile

root = pathlib.Path("/work")
document = json.loads((root / "document.json").read_text(encoding="utf-8"))
with open(root / "table.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, ["id", "square"], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(document["rows"])
with open(root / "table.csv") as file:
    print(sum(int(row["square"]) for row in csv.DictReader(file)))

(root / "a/b/c").mkdir(parents=True)
for name in "zyx":
    (root / "a" / f"{name}.txt").write_text(name * 10)
os.rename(root / "a/z.txt", root / "a/b/moved.txt")
shutil.copy(root / "a/y.txt", root / "a/b/c/copy.txt")
print(sorted(str(p.relative_to(root)) for p in (root / "a").rglob("*")))
print([os.path.getsize(f) for f in sorted(glob.glob("/work/a/*.txt"))])

with open(root / "binary", "w+b") as file:
    file.write(bytes(range(256)) * 40)
    file.seek(-256, io.SEEK_END)
    print(file.read(3), file.tell())
    file.truncate(1000)
    file.seek(0, io.SEEK_END)
    print(file.tell(), stat.S_ISREG(os.fstat(file.fileno()).st_mode))
    print(os.pread(file.fileno(), 4, 254))
os.symlink("binary", root / "link")
print(os.readlink(root / "link"), (root / "link").is_symlink(), (root / "link").stat().st_size)
os.link(root / "binary", root / "hard")
print((root / "hard").stat().st_nlink, (root / "hard").samefile(root / "binary"))
os.utime(root / "binary", (1000000000, 1000000001))
print(int(os.stat(root / "binary").st_mtime))
shutil.rmtree(root / "a")
for path in ["/work/a", "/work/../etc/passwd", "/etc/passwd", "/work/binary/x"]:
    try:
        open(path)
        print(path, "opened")
    except OSError as error:
        print(path, type(error).__name__)
print(sorted(os.listdir("/work")))
sys.stdout.flush()
