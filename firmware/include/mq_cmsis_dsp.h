/* Transforms of f32 by CMSIS-DSP, where MQ_USE_CMSIS_DSP is defined: for the lengths that arm_rfft_fast_f32 has (powers
 * of 2 from 32 to 4096). The program then links with CMSIS-DSP and finds its arm_math.h. Results differ from those of
 * this library by rounding alone, SNR above 110 dB.
 *
 * CMSIS-DSP keeps the real part of the last value of a spectrum where the imaginary part of the first would be.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_CMSIS_DSP_H
#define MQ_CMSIS_DSP_H

#include <string.h>

#include "mq_fft_f32.h"

#if defined(MQ_USE_CMSIS_DSP)

#include <arm_math.h>

/* Does it have transforms of 2 m real values? */
static inline int mq_cmsis_has(uint32_t m) {
    arm_rfft_fast_instance_f32 instance;
    return m <= 2048 && arm_rfft_fast_init_f32(&instance, (uint16_t)(2 * m)) == ARM_MATH_SUCCESS;
}

/* y: the spectrum, m + 1 values, of the 2 m real values in x, which is lost. */
static inline void mq_cmsis_spectrum(float *x, mq_complex *y, uint32_t m) {
    arm_rfft_fast_instance_f32 instance;
    (void)arm_rfft_fast_init_f32(&instance, (uint16_t)(2 * m));
    arm_rfft_fast_f32(&instance, x, (float *)(void *)y, 0);
    y[m].re = y[0].im;
    y[m].im = 0.0f;
    y[0].im = 0.0f;
}

/* y: the 2 m real values of a spectrum; work: as many. */
static inline void mq_cmsis_signal(const mq_complex *x, float *y, float *work, uint32_t m) {
    arm_rfft_fast_instance_f32 instance;
    (void)arm_rfft_fast_init_f32(&instance, (uint16_t)(2 * m));
    memcpy(work, x, m * sizeof(mq_complex));
    work[1] = x[m].re;
    arm_rfft_fast_f32(&instance, work, y, 1);
}

#else

static inline int mq_cmsis_has(uint32_t m) {
    (void)m;
    return 0;
}

static inline void mq_cmsis_spectrum(float *x, mq_complex *y, uint32_t m) {
    (void)x, (void)y, (void)m;
}

static inline void mq_cmsis_signal(const mq_complex *x, float *y, float *work, uint32_t m) {
    (void)x, (void)y, (void)work, (void)m;
}

#endif
#endif
