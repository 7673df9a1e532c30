require "json"
require "set"

puts "version #{RUBY_VERSION[0, 3]} arguments #{ARGV.inspect} environment #{ENV["GREETING"]}"

module Area
  def <=>(other) = area <=> other.area
  include Comparable
end

Circle = Struct.new(:r) do
  include Area
  def area = Math::PI * r**2
end

puts "struct #{[Circle.new(2), Circle.new(1)].min} #{format("%.4f", Circle.new(2).area)}"
puts "blocks #{(1..10).select(&:even?).map { _1**2 }.inject(:+)} #{%w[bb a ccc].sort_by { -_1.size }.inspect}"

primes = Enumerator.new do |y|
  sieve = {}
  (2..).each do |n|
    if (factors = sieve.delete(n))
      factors.each { |p| (sieve[n + p] ||= []) << p }
    else
      y << n
      sieve[n * n] = [n]
    end
  end
end
puts "primes #{primes.lazy.take_while { |p| p < 2000 }.sum}"
external = primes.dup
puts "fiber #{external.next} #{external.next} #{external.next}"

fiber = Fiber.new { |x| 3.times { |i| x = Fiber.yield(x * 10 + i) }; :done }
puts "fiber #{[1, 2, 3, 4].map { |x| fiber.resume(x) }.inspect}"

def risky(n)
  yield n
rescue ZeroDivisionError => e
  "rescued #{e.message}"
else
  "fine"
ensure
  print "ensure "
end
puts risky(1) { |n| 10 / n }
puts risky(0) { |n| 10 / n }
puts "catch #{catch(:found) { [1, [2, [3]]].flatten.each { |x| throw :found, x if x > 2 }; nil }}"
begin
  def deep(n) = deep(n + 1) + 1
  deep(0)
rescue SystemStackError => e
  puts "stack #{e.class}"
end

puts "bignum #{2**100} #{(1..30).inject(:*)} #{10.pow(50, 1_000_003)} #{Rational(3, 4) + Rational(1, 6)} #{Complex(1, 2) * Complex(3, -1)}"
puts "floats #{0.1 + 0.2} #{7.fdiv(3).round(9)} #{-7 / 2} #{-7 % 3} #{1e100.to_i % 97}"
puts "regex #{"2026-11-21".gsub(/(?<y>\d+)-(?<m>\d+)-(?<d>\d+)/, '\k<d>.\k<m>.\k<y>')} #{"héllo".scan(/\p{L}/).size}"
puts "hash #{{ b: 1, "a" => [nil, true] }.to_json} #{%w[x y x].tally} #{Set[3, 1, 3].size}"
case { name: "point", at: [1, { z: 5 }] }
in { name: String => name, at: [Integer => x, { z: }] } if z > x
  puts "pattern #{name} #{x} #{z}"
end
klass = Class.new { define_method(:greet) { |who = "you"| "hi #{who}" } }
puts "meta #{klass.new.greet} #{klass.new.public_send(:greet, "me")} #{klass.instance_methods(false)}"
puts "strings #{"ab" * 3} #{"Hello World".tr("lo", "01")} #{"%08.3f|%-5s|%+d" % [3.14159, "ab", 7]} #{"äö".bytes.size} #{"z".succ}"

File.write("/work/notes.txt", (1..3).map { |i| "line #{i}\n" }.join)
puts "files #{File.readlines("/work/notes.txt", chomp: true).inspect} #{File.size("/work/notes.txt")} #{Dir.children("/work").sort.inspect}"
begin
  File.open("/work/missing")
rescue Errno::ENOENT => e
  puts "errno #{e.class}"
end
200_000.times { |i| "garbage #{i}" * 3 }
GC.start
puts "garbage #{GC.count > 0}"
