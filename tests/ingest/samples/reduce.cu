#include <cuda_runtime.h>

constexpr int kThreads = 256;

// Sums a block in shared memory.
template <typename T>
__global__ void block_sum(const T* values, T* sums, int count) {
  __shared__ T partial[kThreads];
  const int index = blockIdx.x * blockDim.x + threadIdx.x;
  partial[threadIdx.x] = index < count ? values[index] : T(0);
  __syncthreads();
  for (int step = blockDim.x / 2; step > 0; step >>= 1) {
    if (threadIdx.x < step) partial[threadIdx.x] += partial[threadIdx.x + step];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

class Reducer {
 public:
  explicit Reducer(int count) : count_(count), blocks_((count + kThreads - 1) / kThreads) {
    cudaMalloc(&sums_, blocks_ * sizeof(float));
    cudaMemset(sums_, 0, blocks_ * sizeof(float));
    cudaStreamCreate(&stream_);
  }

  void run(const float* values) {
    block_sum<float><<<blocks_, kThreads, 0, stream_>>>(values, sums_, count_);
    cudaStreamSynchronize(stream_);
    const auto error = cudaGetLastError();
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
  }

 private:
  int count_;
  int blocks_;
  float* sums_ = nullptr;
  cudaStream_t stream_ = nullptr;
};
