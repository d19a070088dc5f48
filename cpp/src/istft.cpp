// Masks, inverse transform, window and overlap-add, block of frames by block of frames.
#include "stemsplit/istft.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "stemsplit/bands.hpp"
#include "stemsplit/fft.hpp"
#include "stemsplit/parallel.hpp"

namespace stemsplit {
namespace {

// Frames turned round at a time where their bins do not lie side by side: a cache line of masks.
constexpr std::size_t kTurnedFrames = kLineFloats;
// Frames whose masks are spread at a time: few, which stay in cache.
constexpr std::size_t kSpreadFrames = 2;
// Frames added before the sums are moved back to the start of their rows.
constexpr std::size_t kSumFrames = 8;
// Frames a task takes at least.
constexpr std::size_t kLeastFrames = 16;

// Frames [begin, begin + count) as rows of contiguous bins: in place where they are, else copied
// in tiles that keep both sides in cache, or spread.
template <class T>
class Rows {
  public:
    Rows(const SpectrumView<const T>& view, const Spread* spread, T* copies)
        : view_(view), spread_(spread), copies_(copies), pitch_(pitch(view, spread)) {}

    static std::size_t floats(const SpectrumView<const T>& view, const Spread* spread,
                              std::size_t frames) {
        if (view.bin_stride == 1 && !spread) return 0;
        return view.channels * frames * pitch(view, spread) * (sizeof(T) / sizeof(float));
    }

    void fetch(std::size_t begin, std::size_t count) {
        begin_ = begin;
        count_ = count;
        if constexpr (std::is_same_v<T, float>) {
            if (spread_) return spread();
        }
        if (view_.bin_stride != 1) turn();
    }

    // Frame f of those fetched; one channel serves all.
    const T* row(std::size_t c, std::size_t f) const {
        if (view_.channels == 1) c = 0;
        if (in_place()) return view_.row(c, begin_ + f);
        return copies_ + (c * count_ + f) * pitch_;
    }

    // Elements from a row to the one after the next in memory, which is to be prefetched; 0 for
    // copies, which are in cache anyway.
    Stride ahead() const { return in_place() ? 2 * view_.frame_stride : 0; }

  private:
    static std::size_t pitch(const SpectrumView<const T>& view, const Spread* spread) {
        const std::size_t bins = spread ? spread->bins() : view.bins;
        return round_up(bins, kLineFloats) + kLineFloats;
    }

    bool in_place() const { return view_.bin_stride == 1 && !spread_; }

    void spread() {
        for (std::size_t c = 0; c < view_.channels; ++c) {
            for (std::size_t f = 0; f < count_; ++f) {
                float* const to = copies_ + (c * count_ + f) * pitch_;
                spread_->run(view_.row(c, begin_ + f), view_.bin_stride, to);
            }
        }
    }

    void turn() {
        constexpr std::size_t tile = 16;
        for (std::size_t c = 0; c < view_.channels; ++c) {
            for (std::size_t k0 = 0; k0 < view_.bins; k0 += tile) {
                const std::size_t k1 = std::min(k0 + tile, view_.bins);
                for (std::size_t f = 0; f < count_; ++f) {
                    const T* from = view_.row(c, begin_ + f);
                    T* to = copies_ + (c * count_ + f) * pitch_;
                    for (std::size_t k = k0; k < k1; ++k) {
                        to[k] = from[static_cast<Stride>(k) * view_.bin_stride];
                    }
                }
            }
        }
    }

    SpectrumView<const T> view_;
    const Spread* spread_;
    T* copies_;
    std::size_t pitch_;
    std::size_t begin_ = 0, count_ = 0;
};

}  // namespace

OutputPairs::OutputPairs(std::size_t stems, std::size_t channels)
    : stems_(stems),
      channels_(channels),
      even_(checked_product(stems, channels / 2)),
      odd_(channels % 2 ? (stems + 1) / 2 : 0) {}

OutputPair OutputPairs::operator[](std::size_t pair) const {
    if (pair < even_) {
        const std::size_t stem = pair / (channels_ / 2), channel = pair % (channels_ / 2) * 2;
        return {stem, channel, stem, channel + 1, true};
    }
    const std::size_t stem = 2 * (pair - even_);
    const bool has_b = stem + 1 < stems_;
    return {stem, channels_ - 1, has_b ? stem + 1 : stem, channels_ - 1, has_b};
}

Carry::Carry(std::size_t outputs, const Geometry& geometry)
    : pitch_(Carver::padded(geometry.n_fft + geometry.hop_length)),
      data_(allocate_floats(checked_product(outputs, pitch_))) {
    std::fill_n(data_.get(), outputs * pitch_, 0.0F);
}

Synthesis::Synthesis(Geometry geometry, const std::vector<float>& window, std::size_t stems,
                     std::size_t channels, const Kernel& kernel)
    : geometry_((check_geometry(geometry, window), geometry)),
      kernel_(&kernel),
      plan_(&plan_for(kernel, geometry.n_fft)),
      scaled_window_(allocate_floats(geometry.n_fft)),
      squares_(window, geometry.hop_length),
      pairs_(stems, channels) {
    const auto n = static_cast<double>(geometry.n_fft);
    for (std::size_t i = 0; i < geometry.n_fft; ++i) {
        const double w = static_cast<double>(window[i]) / (n * squares_.steady(i));
        scaled_window_[i] = static_cast<float>(w);
    }
}

std::size_t Synthesis::final_samples(std::size_t frames) const {
    const std::size_t next = frames * geometry_.hop_length, half = geometry_.n_fft / 2;
    return next > half ? next - half : 0;
}

// What all tasks of one run share.
struct Synthesis::Job {
    const SpectrumView<const Complex>& spectrum;
    const MaskView* masks;
    std::size_t first;
    const Carry& before;
    Carry& after;
    const StemsView& out;
    std::size_t origin;
};

// One task: frames [begin, end) of the run for some of the pairs. It starts from the carry or,
// further on, by summing again the frames before `begin` that reach into its samples.
class Synthesis::Chunk {
  public:
    Chunk(const Synthesis& owner, const Job& job, std::size_t first_pair, std::size_t last_pair)
        : owner_(owner),
          job_(job),
          n_(owner.geometry_.n_fft),
          hop_(owner.geometry_.hop_length),
          first_pair_(first_pair),
          last_pair_(last_pair),
          pitch_(Carver::padded(n_ + kSumFrames * hop_)),
          fetched_(job.masks && job.masks->spread ? kSpreadFrames : kTurnedFrames) {
        const Spread* const spread = job.masks ? job.masks->spread : nullptr;
        const std::size_t stems = job.masks ? job.masks->stems : 0;
        const std::size_t work_floats = stemsplit::work_floats(*owner.plan_);
        const std::size_t spectrum_floats = Rows<Complex>::floats(job.spectrum, nullptr, fetched_);
        const std::size_t mask_floats =
            stems ? Rows<float>::floats(job.masks->stem(0), spread, fetched_) : 0;
        Carver scratch(thread_scratch(Carver::padded(work_floats) + 3 * Carver::padded(hop_) +
                                      Carver::padded(rows() * pitch_) +
                                      Carver::padded(spectrum_floats) +
                                      stems * Carver::padded(mask_floats)));
        work_ = scratch.take(work_floats);
        scale_ = scratch.take(hop_);
        for (float*& slot : slots_) slot = scratch.take(hop_);
        sums_ = scratch.take(rows() * pitch_);
        spectrum_.emplace_back(job.spectrum, nullptr,
                               reinterpret_cast<Complex*>(scratch.take(spectrum_floats)));
        for (std::size_t s = 0; s < stems; ++s) {
            masks_.emplace_back(job.masks->stem(s), spread, scratch.take(mask_floats));
        }
    }

    void run(std::size_t begin, std::size_t end, bool from_carry) {
        for (std::size_t row = 0; row < rows(); ++row) {
            float* const to = sums_ + row * pitch_;
            if (from_carry) {
                std::copy_n(job_.before.row(2 * first_pair_ + row), n_, to);
            } else {
                std::fill_n(to, n_, 0.0F);
            }
        }
        const std::size_t reach = (n_ + hop_ - 1) / hop_ - 1;
        std::size_t frame = from_carry ? begin : begin - reach;
        for (std::size_t count; frame < end; frame += count) {
            count = std::min(fetched_, end - frame);
            spectrum_[0].fetch(frame, count);
            for (Rows<float>& mask : masks_) mask.fetch(frame, count);
            for (std::size_t f = 0; f < count; ++f) add_frame(frame + f, f, frame + f >= begin);
        }
    }

    void save_carry() const {
        for (std::size_t row = 0; row < rows(); ++row) {
            float* const to = job_.after.row(2 * first_pair_ + row);
            std::copy_n(sums_ + row * pitch_ + at_, n_ - hop_, to);
            std::fill_n(to + (n_ - hop_), hop_, 0.0F);
        }
    }

  private:
    std::size_t rows() const { return 2 * (last_pair_ - first_pair_); }

    // Frame number `frame` is row f of those fetched. Its first slot is final then, and is written
    // straight to the output where no window is missing and none of it lies outside.
    void add_frame(std::size_t frame, std::size_t f, bool wanted) {
        const std::size_t slot = job_.first + frame, offset = job_.origin + n_ / 2;
        const std::size_t start = slot * hop_ - offset;
        const bool direct = wanted && owner_.squares_.is_steady(slot, slot + 1) &&
                            slot * hop_ >= offset && start + hop_ <= job_.out.samples;
        if (wanted && !direct) owner_.squares_.correction(slot, slot + 1, scale_);
        for (std::size_t pair = first_pair_; pair < last_pair_; ++pair) {
            const OutputPair outputs = owner_.pairs_[pair];
            float* const sum = sums_ + 2 * (pair - first_pair_) * pitch_ + at_;
            Overlap overlap{hop_, sum, sum + pitch_, slots_[0], slots_[1], false};
            if (direct) {
                overlap.out_a = job_.out.row(outputs.stem_a, outputs.channel_a) + start;
                if (outputs.has_b) {
                    overlap.out_b = job_.out.row(outputs.stem_b, outputs.channel_b) + start;
                }
                overlap.bypass = on_line(overlap.out_a) && on_line(overlap.out_b);
            }
            owner_.kernel_->inverse(*owner_.plan_, half(outputs.stem_a, outputs.channel_a, f),
                                    half(outputs.stem_b, outputs.channel_b, f),
                                    owner_.scaled_window_.get(), work_, overlap);
            if (wanted && !direct) {
                owner_.emit(slots_[0], pair, false, scale_, slot, job_.out, job_.origin);
                owner_.emit(slots_[1], pair, true, scale_, slot, job_.out, job_.origin);
            }
        }
        at_ += hop_;
        if (at_ == kSumFrames * hop_) move_back();
    }

    void move_back() {
        for (std::size_t row = 0; row < rows(); ++row) {
            float* const to = sums_ + row * pitch_;
            std::memmove(to, to + at_, (n_ - hop_) * sizeof(float));
        }
        at_ = 0;
    }

    static bool on_line(const float* to) {
        return reinterpret_cast<std::uintptr_t>(to) % kCacheLine == 0;
    }

    // Row f of those fetched, its mask, and where the row to prefetch of each lies.
    HalfSpectrum half(std::size_t stem, std::size_t channel, std::size_t f) const {
        const Rows<Complex>& rows = spectrum_[0];
        HalfSpectrum found{reinterpret_cast<const float*>(rows.row(channel, f)), nullptr,
                           2 * rows.ahead(), 0};
        if (job_.masks) {
            found.mask = masks_[stem].row(channel, f);
            found.mask_ahead = masks_[stem].ahead();
        }
        return found;
    }

    const Synthesis& owner_;
    const Job& job_;
    std::size_t n_, hop_, first_pair_, last_pair_, pitch_;
    std::size_t fetched_;  // frames at a time
    std::size_t at_ = 0;   // where in the sums the next frame starts
    float *work_ = nullptr, *scale_ = nullptr, *sums_ = nullptr;
    float* slots_[2] = {};
    std::vector<Rows<Complex>> spectrum_;
    std::vector<Rows<float>> masks_;
};

void Synthesis::emit(const float* sums, std::size_t pair, bool second, const float* scale,
                     std::size_t slot, const StemsView& out, std::size_t origin) const {
    const OutputPair outputs = pairs_[pair];
    if (second && !outputs.has_b) return;
    // Sample numbers can be negative here: the first frames start before the signal.
    const auto offset = static_cast<Stride>(origin + geometry_.n_fft / 2);
    const Stride start = static_cast<Stride>(slot * geometry_.hop_length) - offset;
    const Stride begin = std::max<Stride>(start, 0);
    const Stride end = std::min(start + static_cast<Stride>(geometry_.hop_length),
                                static_cast<Stride>(out.samples));
    if (begin >= end) return;
    float* const to = (second ? out.row(outputs.stem_b, outputs.channel_b)
                              : out.row(outputs.stem_a, outputs.channel_a)) +
                      begin;
    std::transform(sums + (begin - start), sums + (end - start), scale + (begin - start), to,
                   std::multiplies<>());
}

void Synthesis::run(const SpectrumView<const Complex>& spectrum, const MaskView* masks,
                    std::size_t first, const Carry& before, Carry& after, const StemsView& out,
                    std::size_t origin, int threads) const {
    const std::size_t frames = spectrum.frames, pairs = pairs_.size();
    const auto helpers = static_cast<std::size_t>(std::max(threads, 1));
    // Chunks after the first repeat up to n_fft / hop_length frames: two for each thread waste
    // little and still even out a thread that is held up.
    std::size_t length = std::max<std::size_t>(frames, 1);
    if (helpers > 1) {
        const std::size_t reach = geometry_.n_fft / geometry_.hop_length + 1;
        length = std::max({frames / (2 * helpers) + 1, 4 * reach, kLeastFrames});
    }
    const std::size_t chunks = (frames + length - 1) / length;
    const std::size_t groups = chunks >= helpers ? 1 : std::min(pairs, helpers);
    const Job job{spectrum, masks, first, before, after, out, origin};
    parallel_for(chunks * groups, threads, [&](std::size_t task) {
        const std::size_t chunk = task / groups, group = task % groups;
        Chunk part(*this, job, group * pairs / groups, (group + 1) * pairs / groups);
        part.run(chunk * length, std::min((chunk + 1) * length, frames), chunk == 0);
        if (chunk + 1 == chunks) part.save_carry();
        kernel_->fence();
    });
}

void Synthesis::finish(std::size_t frames, const Carry& carry, const StemsView& out,
                       std::size_t origin) const {
    const std::size_t hop = geometry_.hop_length;
    std::vector<float> scale(hop);
    for (std::size_t i = 0; i * hop < geometry_.n_fft; ++i) {
        squares_.correction(frames + i, frames, scale.data());
        for (std::size_t pair = 0; pair < pairs_.size(); ++pair) {
            emit(carry.row(2 * pair) + i * hop, pair, false, scale.data(), frames + i, out, origin);
            emit(carry.row(2 * pair + 1) + i * hop, pair, true, scale.data(), frames + i, out,
                 origin);
        }
    }
    kernel_->fence();
}

void check_cover(const Synthesis& synthesis, std::size_t first, std::size_t last,
                 std::size_t frames) {
    if (synthesis.squares().covers(first, last, frames)) return;
    const auto [n_fft, hop_length] = synthesis.geometry();
    throw std::invalid_argument(
        "windows do not overlap enough: got " + std::to_string(frames) + " frames of n_fft " +
        std::to_string(n_fft) + " at hop_length " + std::to_string(hop_length) +
        ", wanted a sum of squared windows above 1e-6 of its maximum at each of " +
        std::to_string(last) +
        " samples; use a smaller hop_length or another window, or ask for a shorter length");
}

void istft(const Synthesis& synthesis, const SpectrumView<const Complex>& spectrum,
           const MaskView* masks, const StemsView& out, int threads) {
    check_cover(synthesis, 0, out.samples, spectrum.frames);
    const Carry before = synthesis.new_carry();
    Carry after = synthesis.new_carry();
    synthesis.run(spectrum, masks, 0, before, after, out, 0, threads);
    synthesis.finish(spectrum.frames, after, out, 0);
}

}  // namespace stemsplit
