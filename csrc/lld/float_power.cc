// 512 real values are 256 complex ones z[i] = (x[2i], x[2i+1]); their transform with e^{+i} is made in three passes:
//
//   256 -> 4 x 64 -> 16 x 16        each split: even halves stay x0 + x2, x0 - x2; odd quarters are turned by e^{i a}, e^{i 3 a}
//                                   "turned" transforms take the half turn that (x0 - x2) lacks on their way in
//
// then bits are reversed and the two halves of the real spectrum separated. edgeaff/features/lld_reference_float.py is the twin;
// tests/features/test_lld_ties.py holds both to the peer's decisions. -ffp-contract=off (CMakeLists.txt) keeps the rounding.
#include "lld/float_power.h"

#include <cmath>
#include <utility>

namespace edgeaff::lld {
namespace {

constexpr int kPoints = kShortFft / 2;                      // 256
constexpr int kZeros = (kShortFft - kShortWindow) / 2 / 2;  // 48 complex zeros before the window

struct Complex {
  float re, im;
};

Complex operator+(Complex x, Complex y) { return {x.re + y.re, x.im + y.im}; }
Complex operator-(Complex x, Complex y) { return {x.re - y.re, x.im - y.im}; }
Complex operator*(Complex w, Complex x) { return {w.re * x.re - w.im * x.im, w.re * x.im + w.im * x.re}; }
Complex Back(Complex w, Complex x) { return {w.re * x.re + w.im * x.im, w.re * x.im - w.im * x.re}; }  // x by conj(w)
Complex PlusI(Complex x, Complex y) { return {x.re - y.im, x.im + y.re}; }                             // x + i y
Complex MinusI(Complex x, Complex y) { return {x.re + y.im, x.im - y.re}; }
Complex Mirrored(Complex w) { return {w.im, w.re}; }  // of angle a: angle pi/2 - a

struct Tables {
  float eighth;                          // cos(pi/4)
  Complex first[17], third[17];          // angle a = pi/64 k, k = 0..16: e^{i a}, e^{-i 3 a}
  Complex first_odd[16], third_odd[16];  // k + 1/2, from their neighbors
  float half[128];                       // cos(pi/256 j) / 2

  Tables() {
    const float step = static_cast<float>(std::atan(1.0) / 64);
    eighth = static_cast<float>(std::cos(static_cast<double>(step * 64)));
    first[0] = third[0] = {1.0f, 0.0f};
    for (int k = 1; k < 16; ++k) {
      const double a = step * static_cast<float>(4 * k), b = 3 * step * static_cast<float>(4 * k);
      first[k] = {static_cast<float>(std::cos(a)), static_cast<float>(std::sin(a))};
      third[k] = {static_cast<float>(std::cos(b)), static_cast<float>(-std::sin(b))};
    }
    first[16] = {eighth, eighth};
    third[16] = {-eighth, -eighth};
    const float one = static_cast<float>(0.5 / std::cos(static_cast<double>(step * 2)));
    const float three = static_cast<float>(0.5 / std::cos(static_cast<double>(step * 6)));
    for (int k = 0; k < 16; ++k) {
      first_odd[k] = {one * (first[k].re + first[k + 1].re), one * (first[k].im + first[k + 1].im)};
      third_odd[k] = {three * (third[k].re + third[k + 1].re), three * (third[k].im + third[k + 1].im)};
    }
    half[0] = 0.0f;  // not used
    for (int j = 1; j < 64; ++j) {
      const double a = step * static_cast<float>(j);
      half[j] = static_cast<float>(0.5 * std::cos(a));
      half[128 - j] = static_cast<float>(0.5 * std::sin(a));
    }
    half[64] = 0.5f * eighth;
  }
};

const Tables& Constants() {
  static const Tables tables;
  return tables;
}

Complex Eighth(Complex x) {  // x by e^{i pi/4}
  const float w = Constants().eighth;
  return {w * (x.re - x.im), w * (x.im + x.re)};
}

Complex EighthBack(Complex x) {
  const float w = Constants().eighth;
  return {w * (x.re + x.im), w * (x.im - x.re)};
}

// Four values a quarter apart. The sums are written; the odd parts x1 + i x3 and x1 - i x3 are returned.
struct Odd {
  Complex plus, minus;
};

Odd Fold(Complex* z, int quarter) {
  const Complex x0 = z[0] + z[2 * quarter], x1 = z[0] - z[2 * quarter];
  const Complex x2 = z[quarter] + z[3 * quarter], x3 = z[quarter] - z[3 * quarter];
  z[0] = x0 + x2;
  z[quarter] = x0 - x2;
  return {PlusI(x1, x3), MinusI(x1, x3)};
}

void Put(Complex* z, int quarter, Complex first, Complex third) {
  z[2 * quarter] = first;
  z[3 * quarter] = third;
}

void FoldPair(Complex* z, int j, int quarter, Complex first, Complex third) {
  Odd odd = Fold(z + j, quarter);
  Put(z + j, quarter, first * odd.plus, Back(third, odd.minus));
  odd = Fold(z + quarter - j, quarter);
  Put(z + quarter - j, quarter, Mirrored(first) * odd.plus, Back(Mirrored(third), odd.minus));
}

void Split(Complex* z, int points) {
  const Tables& t = Constants();
  const int quarter = points / 4;
  Odd odd = Fold(z, quarter);
  Put(z, quarter, odd.plus, odd.minus);
  for (int j = 1; j < quarter / 2; ++j) {
    const int half_steps = j * (kPoints / points);  // the table has every second angle of 256 points
    const int k = half_steps / 2;
    const bool between = half_steps % 2 == 1;
    FoldPair(z, j, quarter, between ? t.first_odd[k] : t.first[k], between ? t.third_odd[k] : t.third[k]);
  }
  odd = Fold(z + quarter / 2, quarter);
  const Complex third = EighthBack(odd.minus);
  Put(z + quarter / 2, quarter, Eighth(odd.plus), {-third.re, -third.im});
}

// The split of 64 points whose values lack the factor e^{i pi/64 j}.
void SplitTurned(Complex* z) {
  const Tables& t = Constants();
  constexpr int kQuarter = 16;
  for (int j = 0; j < kQuarter; ++j) {
    const Complex x0 = PlusI(z[j], z[j + 32]), x1 = MinusI(z[j], z[j + 32]);
    const Complex x2 = PlusI(z[j + 16], z[j + 48]), x3 = MinusI(z[j + 16], z[j + 48]);
    Complex sum, other, u, v;  // even: sum +- other; odd: u +- v
    if (j == 0) {
      const Complex y = Eighth(x3);
      sum = x0, other = Eighth(x2), u = x1, v = {-y.im, y.re};
    } else if (j == kQuarter / 2) {
      const Complex y = t.first[j] * x3;
      sum = t.first[j] * x0, other = Mirrored(t.first[j]) * x2, u = Mirrored(t.first[j]) * x1, v = {-y.re, -y.im};
    } else {
      sum = t.first[j] * x0, other = Mirrored(t.first[kQuarter - j]) * x2;
      u = Back(t.third[j], x1), v = Back(Mirrored(t.third[kQuarter - j]), x3);
    }
    z[j] = sum + other, z[j + 16] = sum - other;
    z[j + 32] = u + v, z[j + 48] = u - v;
  }
}

void WriteSums(Complex* z, Complex x0, Complex x2, Complex x1, Complex x3) {  // x0 +- x2, x1 +- i x3
  z[0] = x0 + x2, z[1] = x0 - x2;
  z[2] = PlusI(x1, x3), z[3] = MinusI(x1, x3);
}

void Sixteen(Complex* z) {
  const Complex w = Constants().first[8];
  Odd odd[4];
  for (int j = 0; j < 4; ++j) odd[j] = Fold(z + j, 4);  // z[0..3]: sums of sums, z[4..7]: differences of sums
  const Complex plus[4] = {odd[0].plus, w * odd[1].plus, Eighth(odd[2].plus), Mirrored(w) * odd[3].plus};
  const Complex minus[4] = {odd[0].minus, Mirrored(w) * odd[1].minus, EighthBack(odd[2].minus), w * odd[3].minus};
  WriteSums(z + 12, minus[0] - minus[2], minus[1] - minus[3], minus[0] + minus[2], minus[1] + minus[3]);
  WriteSums(z + 8, plus[0] + plus[2], plus[1] + plus[3], plus[0] - plus[2], plus[1] - plus[3]);
  const Complex y[8] = {z[0], z[1], z[2], z[3], z[4], z[5], z[6], z[7]};
  WriteSums(z + 4, PlusI(y[4], y[6]), Eighth(PlusI(y[5], y[7])), MinusI(y[4], y[6]), Eighth(MinusI(y[5], y[7])));
  WriteSums(z, y[0] + y[2], y[1] + y[3], y[0] - y[2], y[1] - y[3]);
}

// Sixteen points whose values lack the factor e^{i pi/16 j}.
void SixteenTurned(Complex* z) {
  const Tables& t = Constants();
  const Complex w1 = t.first[4], w2 = t.first[8], w3 = {t.third[4].re, -t.third[4].im};
  Complex plus[8], minus[8];
  for (int j = 0; j < 8; ++j) {
    plus[j] = PlusI(z[j], z[j + 8]);
    minus[j] = MinusI(z[j], z[j + 8]);
  }
  const Complex a[4] = {plus[0], w1 * plus[1], w2 * plus[2], w3 * plus[3]};
  const Complex b[4] = {Eighth(plus[4]), Mirrored(w3) * plus[5], Mirrored(w2) * plus[6], Mirrored(w1) * plus[7]};
  const Complex c[4] = {minus[0], w3 * minus[1], Mirrored(w2) * minus[2], Back(Mirrored(w1), minus[3])};
  const Complex e[4] = {Eighth(minus[4]), Back(w1, minus[5]), w2 * minus[6], Mirrored(w3) * minus[7]};
  Complex y[16];
  for (int j = 0; j < 4; ++j) y[j] = a[j] + b[j], y[4 + j] = a[j] - b[j];
  y[8] = PlusI(c[0], e[0]), y[12] = MinusI(c[0], e[0]);
  y[9] = c[1] - e[1], y[13] = c[1] + e[1];
  y[10] = c[2] - e[2], y[14] = c[2] + e[2];
  y[11] = c[3] + e[3], y[15] = c[3] - e[3];
  WriteSums(z, y[0] + y[2], y[1] + y[3], y[0] - y[2], y[1] - y[3]);
  WriteSums(z + 4, PlusI(y[4], y[6]), Eighth(PlusI(y[5], y[7])), MinusI(y[4], y[6]), Eighth(MinusI(y[5], y[7])));
  WriteSums(z + 8, y[8] + y[10], y[9] - y[11], y[8] - y[10], y[9] + y[11]);
  WriteSums(z + 12, PlusI(y[12], y[14]), Eighth(MinusI(y[13], y[15])), MinusI(y[12], y[14]),
            Eighth(PlusI(y[13], y[15])));
}

int ReversedBits(int i) {
  int reversed = 0;
  for (int bit = 0; bit < 8; ++bit) reversed |= (i >> bit & 1) << (7 - bit);
  return reversed;
}

void Transform(Complex* z) {
  Split(z, kPoints);
  for (int part = 0; part < 4; ++part) {  // the second quarter holds the differences of sums: turned
    Complex* quarter = z + 64 * part;
    if (part == 1)
      SplitTurned(quarter);
    else
      Split(quarter, 64);
    Sixteen(quarter);
    SixteenTurned(quarter + 16);
    Sixteen(quarter + 32);
    if (part == 1)
      SixteenTurned(quarter + 48);
    else
      Sixteen(quarter + 48);
  }
  for (int i = 0; i < kPoints; ++i) {
    const int j = ReversedBits(i);
    if (i < j) std::swap(z[i], z[j]);
  }
}

float Squared(Complex x) {  // of the magnitude, which is rounded too
  const float magnitude = std::sqrt(x.re * x.re + x.im * x.im);
  return magnitude * magnitude;
}

}  // namespace

void FloatPower(const float* windowed, float* power) {
  const Tables& t = Constants();
  Complex z[kPoints] = {};
  for (int i = 0; i < kShortWindow / 2; ++i) z[kZeros + i] = {windowed[2 * i], windowed[2 * i + 1]};
  Transform(z);
  power[0] = Squared({z[0].re + z[0].im, 0.0f});
  power[kPoints] = Squared({z[0].re - z[0].im, 0.0f});
  power[kPoints / 2] = Squared(z[kPoints / 2]);
  for (int j = 1; j < kPoints / 2; ++j) {  // the spectra of even and odd samples, apart
    const Complex low = z[j], high = z[kPoints - j], w = {0.5f - t.half[kPoints / 2 - j], t.half[j]};
    const Complex y = w * Complex{low.re - high.re, low.im + high.im};
    power[j] = Squared(low - y);
    power[kPoints - j] = Squared({high.re + y.re, high.im - y.im});
  }
}

}  // namespace edgeaff::lld
