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

float mq_fn_abs(float x, const float *parameters);              /* |x| */
float mq_fn_acos(float x, const float *parameters);             /* arccos(x) */
float mq_fn_acosh(float x, const float *parameters);            /* arcosh(x), x >= 1 */
float mq_fn_asin(float x, const float *parameters);             /* arcsin(x) */
float mq_fn_asinh(float x, const float *parameters);            /* arsinh(x) */
float mq_fn_atan(float x, const float *parameters);             /* arctan(x) */
float mq_fn_atanh(float x, const float *parameters);            /* artanh(x), |x| <= 1 */
float mq_fn_ceil(float x, const float *parameters);             /* smallest integer >= x */
float mq_fn_celu(float x, const float *parameters);             /* x < 0 ? p[0] (e^(x / p[0]) - 1) : x */
float mq_fn_clip(float x, const float *parameters);             /* min(max(x, p[0]), p[1]) */
float mq_fn_cos(float x, const float *parameters);              /* cos(x) */
float mq_fn_cosh(float x, const float *parameters);             /* cosh(x) */
float mq_fn_elu(float x, const float *parameters);              /* x < 0 ? p[0] (e^x - 1) : x */
float mq_fn_erf(float x, const float *parameters);              /* erf(x) */
float mq_fn_exp(float x, const float *parameters);              /* e^x */
float mq_fn_floor(float x, const float *parameters);            /* largest integer <= x */
float mq_fn_gelu(float x, const float *parameters);             /* x (1 + erf(x / sqrt(2))) / 2 */
float mq_fn_gelu_tanh(float x, const float *parameters);        /* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
float mq_fn_hard_sigmoid(float x, const float *parameters);     /* min(max(p[0] x + p[1], 0), 1) */
float mq_fn_hard_swish(float x, const float *parameters);       /* x min(max(x / 6 + 1 / 2, 0), 1) */
float mq_fn_leaky_relu(float x, const float *parameters);       /* x < 0 ? p[0] x : x */
float mq_fn_log(float x, const float *parameters);              /* ln(x) */
float mq_fn_mish(float x, const float *parameters);             /* x tanh(ln(1 + e^x)) */
float mq_fn_neg(float x, const float *parameters);              /* -x */
float mq_fn_power(float x, const float *parameters);            /* x^p[0] */
float mq_fn_reciprocal(float x, const float *parameters);       /* 1 / x */
float mq_fn_relu(float x, const float *parameters);             /* max(x, 0) */
float mq_fn_round(float x, const float *parameters);            /* nearest integer, half to even */
float mq_fn_selu(float x, const float *parameters);             /* p[1] (x > 0 ? x : p[0] (e^x - 1)) */
float mq_fn_shrink(float x, const float *parameters);           /* x < -p[1] ? x + p[0] : (x > p[1] ? x - p[0] : 0) */
float mq_fn_sigmoid(float x, const float *parameters);          /* 1 / (1 + e^-x) */
float mq_fn_sign(float x, const float *parameters);             /* -1, 0 or 1 */
float mq_fn_sin(float x, const float *parameters);              /* sin(x) */
float mq_fn_sinh(float x, const float *parameters);             /* sinh(x) */
float mq_fn_softplus(float x, const float *parameters);         /* ln(1 + e^x) */
float mq_fn_softsign(float x, const float *parameters);         /* x / (1 + |x|) */
float mq_fn_sqrt(float x, const float *parameters);             /* sqrt(x) */
float mq_fn_swish(float x, const float *parameters);            /* x / (1 + e^(-p[0] x)) */
float mq_fn_tan(float x, const float *parameters);              /* tan(x) */
float mq_fn_tanh(float x, const float *parameters);             /* tanh(x) */
float mq_fn_thresholded_relu(float x, const float *parameters); /* x > p[0] ? x : 0 */

#endif
