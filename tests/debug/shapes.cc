#include <cstdio>
#include <cstdlib>

namespace geometry {

struct Point {
  int x, y;
  int norm() const { return x * x + y * y; }
};

class Shape {
public:
  Shape(const char *name, Point at) : name(name), at(at) {}
  virtual ~Shape() {}
  virtual int area() const = 0;
  const char *name;
  Point at;
};

class Square : public Shape {
public:
  Square(int side, Point at) : Shape("square", at), side(side) {}
  int area() const override {
    int result = side * side;
    return result;
  }
  int side;
};

template <typename T, int N> struct Row {
  T items[N];
  T sum() const {
    T result = 0;
    for (const T &item : items)
      result += item;
    return result;
  }
};

enum class Mode : unsigned char { Fast = 1, Slow = 2 };

} // namespace geometry

using namespace geometry;

static int counter = 40;

__attribute__((noinline)) int measure(const Shape &shape, Mode mode) {
  int area = shape.area();
  counter += mode == Mode::Fast ? 1 : 2;
  return area + shape.at.norm();
}

int main() {
  Square square(7, Point{3, 4});
  Row<long long, 3> row{{1, 2, 3}};
  Square *pointer = &square;
  bool yes = true;
  double ratio = 0.25;
  int result = measure(square, Mode::Slow);
  std::printf("%d %lld %d %d %g\n", result, row.sum(), pointer->side, yes, ratio + counter);
  return 0;
}
