import * as std from "qjs:std";
import * as os from "qjs:os";

const out = std.open("/notes.txt", "w");
for (let i = 1; i <= 5; i++) out.puts(`line ${i}: ${"*".repeat(i)}\n`);
out.close();
const back = std.loadFile("/notes.txt");
console.log(back.split("\n").length, back.length);

os.mkdir("/sub");
std.open("/sub/a", "w").close();
os.rename("/sub/a", "/sub/b");
console.log(os.readdir("/sub")[0].filter((name) => !name.startsWith(".")).sort().join());
const [information, error] = os.stat("/notes.txt");
console.log(error, information.size);
console.log(os.remove("/sub/b"), os.remove("/sub"), os.remove("/sub") < 0);
const file = std.open("/notes.txt", "r+");
file.seek(5, std.SEEK_SET);
file.puts("X");
file.seek(-6, std.SEEK_END);
console.log(JSON.stringify(file.getline()), file.tell());
file.close();
console.log(std.open("/missing", "r"));
