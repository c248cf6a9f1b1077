// Sizes of the signal chain. Two framings of 16 kHz audio at one hop:
//
//   row t, samples 160 t ...   |<-- 20 ms: 320 -->|                        energy, mel, MFCC, spectral shape
//                              |<------------- 60 ms: 960 ------------>|   pitch, voice quality, zero crossings
#pragma once

namespace edgeaff::lld {

constexpr int kSampleRateHz = 16000;
constexpr int kHop = 160;
constexpr int kShortWindow = 320;
constexpr int kLongWindow = 960;
constexpr int kShortFft = 512;
constexpr int kLongFft = 1024;
constexpr int kShortBins = kShortFft / 2 + 1;  // 257, 31.25 Hz apart
constexpr int kLongBins = kLongFft / 2 + 1;    // 513
constexpr double kShortBinHz = 31.25;
constexpr int kBands = 26;      // mel bands
constexpr int kMfcc = 14;       // cepstral coefficients 1..14
constexpr int kCandidates = 6;  // of pitch, per frame
constexpr int kLongestPitchLag = 29;
constexpr int kColumns = 65;

// First column of each family (edgeaff/lld_names.py).
constexpr int kPitchColumn = 0;     // F0, voicing
constexpr int kQualityColumn = 2;   // jitterLocal, jitterDDP, shimmerLocal, logHNR
constexpr int kAuditoryColumn = 6;  // audspec length, RASTA length
constexpr int kEnergyColumn = 8;
constexpr int kZeroCrossingColumn = 9;
constexpr int kRastaColumn = 10;
constexpr int kSpectralColumn = 36;
constexpr int kMfccColumn = 51;

constexpr double kPi = 3.14159265358979323846;

}  // namespace edgeaff::lld
