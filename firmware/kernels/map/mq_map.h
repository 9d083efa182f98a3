/* A function of one real variable, element by element: y[i] = f(x[i]).
 *
 * f is one of the mq_fn_* below; parameters points to its constants, or is NULL where it has none.
 * x, y: n values each; y may be x. f16: f in f32 on the widened value, the result rounded to nearest even.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MAP_H
#define MQ_MAP_H

#include "mq_base.h"

typedef float (*mq_function)(float x, const float *parameters);

void mq_map_f32(const float *x, float *y, uint32_t n, mq_function f, const float *parameters);
void mq_map_f16(const mq_f16 *x, mq_f16 *y, uint32_t n, mq_function f, const float *parameters);

float mq_fn_clip(float x, const float *parameters);       /* min(max(x, p[0]), p[1]) */
float mq_fn_leaky_relu(float x, const float *parameters); /* x < 0 ? p[0] x : x */
float mq_fn_relu(float x, const float *parameters);       /* max(x, 0) */
float mq_fn_sigmoid(float x, const float *parameters);    /* 1 / (1 + e^-x) */
float mq_fn_sqrt(float x, const float *parameters);       /* sqrt(x) */
float mq_fn_tanh(float x, const float *parameters);       /* tanh(x) */

#endif
