// lld_rows MAX_PITCH_LAG INSTRUCTION_SET < int16 samples at 16 kHz > float32 rows of 65 columns: for
// test_cpp_programs.py, which compares them with stored ones on processors that Python does not run on here.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "check.h"
#include "edgeaff/cpu_features.h"
#include "lld/constants.h"
#include "lld/lld_stream.h"

int main(int count, char** arguments) {
  CHECK(count == 3);
  CHECK(edgeaff::SetInstructionSetLimit(arguments[2]));
  edgeaff::LldStream stream(std::atoi(arguments[1]));
  std::vector<int16_t> samples(533);
  while (const size_t n = std::fread(samples.data(), sizeof(int16_t), samples.size(), stdin)) {
    stream.Push(samples.data(), n);
  }
  stream.Finish(false);
  std::vector<float> rows(static_cast<size_t>(stream.rows_ready()) * edgeaff::lld::kColumns);
  stream.Pop(stream.rows_ready(), rows.data());
  return std::fwrite(rows.data(), sizeof(float), rows.size(), stdout) == rows.size() ? 0 : 1;
}
