// Checks of what comes in through edgeaff.h. Each returns null, or what is wrong and what to do.
#pragma once
#include "edgeaff.h"
#include "vision/crop_resize.h"

namespace edgeaff {

constexpr int kMostFaces = 64, kLowestRateHz = 8000;

// Writes the image as the core sees it.
const char* ViewOf(const edgeaff_image& given, const edgeaff_options& options, ImageView* view);

const char* CheckOptions(const edgeaff_options& options);
const char* CheckAllocator(const edgeaff_allocator* allocator);

// The options with defaults where the caller's struct ends. given: may be null.
edgeaff_options Complete(const edgeaff_options* given);

}  // namespace edgeaff
