# What scripts do: objects, blocks, hashes, strings, regular expressions, sorting, numbers.

Body = Struct.new(:x, :y, :vx, :vy, :mass)

def bodies(steps)
  all = (0..3).map { |i| Body.new(i.to_f, 3.0 - i, 0.0, i * 0.01, 1.0 + i) }
  steps.times do
    all.each do |a|
      all.each do |b|
        next if a.equal?(b)
        dx = b.x - a.x
        dy = b.y - a.y
        square = dx * dx + dy * dy + 0.1
        pull = 0.001 * b.mass / (square * Math.sqrt(square))
        a.vx += dx * pull
        a.vy += dy * pull
      end
    end
    all.each do |a|
      a.x += a.vx * 0.001
      a.y += a.vy * 0.001
    end
  end
  all.map { |a| format("%.6f", a.x) }.join(" ")
end

def words(count)
  state = 7
  parts = Array.new(count) do
    state = (state * 1664525 + 1013904223) & 0xffffffff
    (state >> 20).to_s(16)
  end
  text = parts.join(" ")
  counts = Hash.new(0)
  text.split(/[ ,]+/).each { |word| counts[word] += 1 }
  top = counts.sort_by { |word, n| [-n, word] }.first(3)
  "#{top} #{text.scan(/\b[a-c]\w*[0-9]\b/).length}"
end

def fib(n) = n < 2 ? n : fib(n - 1) + fib(n - 2)

puts bodies(3000)
puts words(30000)
puts fib(22)
puts (1..100000).sum { |i| i * i % 7 }
