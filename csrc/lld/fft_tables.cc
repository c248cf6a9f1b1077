#include "lld/fft_tables.h"

#include <cmath>

namespace edgeaff {
namespace {

constexpr double kPi = 3.14159265358979323846;

template <int N>
FftTables<N> MakeTables() {
  FftTables<N> tables;
  constexpr int kColumns = N / 16;
  for (int k1 = 0; k1 < 16; ++k1) {
    for (int n2 = 0; n2 < kColumns; ++n2) {
      tables.twiddle_cos[kColumns * k1 + n2] = std::cos(2 * kPi * n2 * k1 / N);
      tables.twiddle_sin[kColumns * k1 + n2] = std::sin(2 * kPi * n2 * k1 / N);
    }
  }
  for (int k = 0; k < N; ++k) {
    tables.split_cos[k] = std::cos(kPi * k / N);
    tables.split_sin[k] = std::sin(kPi * k / N);
  }
  return tables;
}

}  // namespace

const FftTables<256> kFft256Tables = MakeTables<256>();
const FftTables<512> kFft512Tables = MakeTables<512>();

}  // namespace edgeaff
