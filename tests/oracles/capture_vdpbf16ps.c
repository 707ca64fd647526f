/* VDPBF16PS over n rows of k bfloat16 values (k even): d = c + the row's products, one instruction for each two of them.
   gcc -O2 -mavx512f -mavx512bf16 -shared -fPIC; built and run by capture_vdpbf16ps.py */
#include <immintrin.h>
#include <stdint.h>

void rows(const uint16_t *a, const uint16_t *b, const float *c, float *d, long n, long k)
{
    for (long r = 0; r < n; r++) {
        __m512 sum = _mm512_set1_ps(c[r]);
        for (long j = 0; j < k; j += 2) {
            const uint32_t x = a[r * k + j] | (uint32_t)a[r * k + j + 1] << 16;
            const uint32_t y = b[r * k + j] | (uint32_t)b[r * k + j + 1] << 16;
            sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32((int)x), (__m512bh)_mm512_set1_epi32((int)y));
        }
        d[r] = _mm512_cvtss_f32(sum);
    }
}
