// Windows, and the sum of their squares by which overlap-add is divided.
#include "stemsplit/window.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <memory>
#include <numbers>

#include "stemsplit/kernel.hpp"

namespace stemsplit {

std::vector<float> hann_window(std::size_t n) {
    std::vector<float> window(n);
    const double turn = 2 * std::numbers::pi / static_cast<double>(n);
    for (std::size_t i = 0; i < n && i <= n / 2; ++i) {
        window[i] = static_cast<float>(0.5 - 0.5 * std::cos(turn * static_cast<double>(i)));
        if (i) window[n - i] = window[i];
    }
    return window;
}

const std::vector<float>& default_window(std::size_t n_fft) {
    static std::atomic<const std::vector<float>*> windows[kMaxLog2 + 1];
    auto& slot = windows[std::countr_zero(n_fft)];
    if (const auto* window = slot.load(std::memory_order_acquire)) return *window;
    auto built = std::make_unique<const std::vector<float>>(hann_window(n_fft));
    const std::vector<float>* winner = nullptr;
    if (slot.compare_exchange_strong(winner, built.get(), std::memory_order_acq_rel)) {
        winner = built.release();
    }
    return *winner;
}

SquareSum::SquareSum(const std::vector<float>& window, std::size_t hop)
    : n_(window.size()), hop_(hop), reach_((n_ + hop - 1) / hop), squares_(n_), steady_(hop) {
    std::transform(window.begin(), window.end(), squares_.begin(),
                   [](float w) { return static_cast<double>(w) * static_cast<double>(w); });
    for (std::size_t i = 0; i < hop_; ++i) steady_[i] = sum(reach_, i, reach_ + 1);
    largest_ = *std::max_element(steady_.begin(), steady_.end());
    for (double& sum : steady_) {
        if (!enough(sum)) sum = 1;
    }
}

double SquareSum::sum(std::size_t slot, std::size_t phase, std::size_t frames) const {
    // Frame slot - i meets this sample at its own sample phase + i * hop.
    if (phase >= n_) return 0;
    std::size_t i = std::min(slot, (n_ - 1 - phase) / hop_) + 1;
    const std::size_t missing = slot < frames ? 0 : slot - frames + 1;
    double total = 0;
    while (i-- > missing) total += squares_[phase + i * hop_];
    return total;
}

void SquareSum::correction(std::size_t slot, std::size_t frames, float* out) const {
    for (std::size_t i = 0; i < hop_; ++i) {
        out[i] = static_cast<float>(steady_[i] / sum(slot, i, frames));
    }
}

bool SquareSum::is_steady(std::size_t slot, std::size_t frames) const {
    return slot + 1 >= reach_ && slot < frames;
}

bool SquareSum::covers_steady() const {
    for (std::size_t i = 0; i < hop_; ++i) {
        if (!enough(sum(reach_, i, reach_ + 1))) return false;
    }
    return true;
}

bool SquareSum::covers(std::size_t first, std::size_t last, std::size_t frames) const {
    bool steady_seen = false;
    for (std::size_t t = first; t < last;) {
        const std::size_t slot = (t + n_ / 2) / hop_, begin = (t + n_ / 2) % hop_;
        const std::size_t count = std::min(hop_ - begin, last - t);
        const bool whole = count == hop_, steady = is_steady(slot, frames);
        if (slot >= frames + reach_) return false;
        if (!(whole && steady && steady_seen)) {
            for (std::size_t i = begin; i < begin + count; ++i) {
                if (!enough(sum(slot, i, frames))) return false;
            }
            steady_seen = steady_seen || (whole && steady);
        }
        t += count;
    }
    return true;
}

}  // namespace stemsplit
