// Constants of the FFT (fft_impl.h), made once when the module is loaded, shared by all streams and instruction sets.
#pragma once

namespace edgeaff {

// For an FFT of N = 16 C complex points: twiddles W_N^(n2 k1) at [C k1 + n2], and W_2N^k to take the real signal apart.
template <int N>
struct FftTables {
  double twiddle_cos[N], twiddle_sin[N];
  double split_cos[N], split_sin[N];
};

extern const FftTables<256> kFft256Tables;
extern const FftTables<512> kFft512Tables;

}  // namespace edgeaff
