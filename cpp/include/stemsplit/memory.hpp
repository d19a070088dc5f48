// Owned float memory on cache-line boundaries, and one reusable scratch block per thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace stemsplit {

inline constexpr std::size_t kCacheLine = 64;
inline constexpr std::size_t kLineFloats = kCacheLine / sizeof(float);

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

struct AlignedDelete {
    void operator()(float* data) const { ::operator delete[](data, std::align_val_t{kCacheLine}); }
};

using AlignedFloats = std::unique_ptr<float[], AlignedDelete>;

// Throws std::bad_alloc where the product is beyond any memory.
inline std::size_t checked_product(std::size_t a, std::size_t b) {
    constexpr std::size_t most = SIZE_MAX / 64;
    if (b && a > most / b) throw std::bad_alloc();
    return a * b;
}

// Uninitialised.
inline AlignedFloats allocate_floats(std::size_t count) {
    const std::size_t bytes = checked_product(count, sizeof(float));
    return AlignedFloats(
        static_cast<float*>(::operator new[](bytes, std::align_val_t{kCacheLine})));
}

// Scratch of at least `floats` elements, kept by the calling thread for its next task: a fresh
// allocation per task would cost more page faults than a short transform takes.
inline float* thread_scratch(std::size_t floats) {
    thread_local AlignedFloats block;
    thread_local std::size_t capacity = 0;
    if (floats > capacity) {
        capacity = 0;
        block.reset();
        block = allocate_floats(floats);
        capacity = floats;
    }
    return block.get();
}

// Cuts one block into parts that each start on a cache line.
class Carver {
  public:
    explicit Carver(float* block) : next_(block) {}

    float* take(std::size_t floats) {
        float* part = next_;
        next_ += padded(floats);
        return part;
    }

    // An odd number of lines: equal parts then never sit a power of two apart, where they would
    // fight for the same cache sets.
    static constexpr std::size_t padded(std::size_t floats) {
        return round_up(floats, 2 * kLineFloats) + kLineFloats;
    }

  private:
    float* next_;
};

}  // namespace stemsplit
