/* Whole numbers and truth values, element by element, exactly: y = f(a, b) with broadcasting, and changes of type.
 *
 *   whole          y[i] = f(a[..], b[..]) in 64 bits, cut to the type of y; loops as in mq_elementwise.h. Types as in
 *                  mq_whole_types.h. Functions of one variable ignore b.
 *   cast           y[i] = x[i], low bits where y is narrower; x[i] != 0 where to_bool is set
 *   cast_from_f32  y[i] = x[i] towards 0, limited to the type of y, NaN gives 0; x[i] != 0 where to_bool is set
 *   cast_to_f32    y[i] = the f32 nearest to x[i], half to even
 *   compare_f32    y[i] = f(a[..], b[..]), 0 or 1
 * y may be a, b or x itself where both have the same shape and width.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_WHOLE_H
#define MQ_WHOLE_H

#include "mq_base.h"
#include "mq_elementwise.h"

typedef int64_t (*mq_whole_function)(int64_t a, int64_t b);
typedef int32_t (*mq_relation)(float a, float b);

typedef struct {
    mq_whole_function f;
    int32_t a_type;
    int32_t b_type;
    int32_t y_type;
} mq_whole_params;

typedef struct {
    uint32_t n;
    int32_t x_type;
    int32_t y_type;
    int32_t to_bool;
} mq_cast_params;

void mq_whole(const void *a, const void *b, void *y, const mq_broadcast *loops, const mq_whole_params *p);
void mq_cast(const void *x, void *y, const mq_cast_params *p);
void mq_cast_from_f32(const float *x, void *y, const mq_cast_params *p);
void mq_cast_to_f32(const void *x, float *y, const mq_cast_params *p);
void mq_compare_f32(const float *a, const float *b, uint8_t *y, const mq_broadcast *loops, mq_relation f);

int64_t mq_whole_abs(int64_t a, int64_t b);                    /* |a| */
int64_t mq_whole_add(int64_t a, int64_t b);                    /* a + b */
int64_t mq_whole_and(int64_t a, int64_t b);                    /* a & b */
int64_t mq_whole_div(int64_t a, int64_t b);                    /* a / b towards 0; 0 where b is 0 */
int64_t mq_whole_div_unsigned(int64_t a, int64_t b);           /* the same of unsigned numbers */
int64_t mq_whole_equal(int64_t a, int64_t b);                  /* a == b */
int64_t mq_whole_less(int64_t a, int64_t b);                   /* a < b */
int64_t mq_whole_less_or_equal(int64_t a, int64_t b);          /* a <= b */
int64_t mq_whole_less_or_equal_unsigned(int64_t a, int64_t b); /* the same of unsigned numbers */
int64_t mq_whole_less_unsigned(int64_t a, int64_t b);          /* the same of unsigned numbers */
int64_t mq_whole_max(int64_t a, int64_t b);                    /* max(a, b) */
int64_t mq_whole_max_unsigned(int64_t a, int64_t b);           /* the same of unsigned numbers */
int64_t mq_whole_min(int64_t a, int64_t b);                    /* min(a, b) */
int64_t mq_whole_min_unsigned(int64_t a, int64_t b);           /* the same of unsigned numbers */
int64_t mq_whole_mod(int64_t a, int64_t b);                    /* a mod b with the sign of b; 0 where b is 0 */
int64_t mq_whole_mod_unsigned(int64_t a, int64_t b);           /* the same of unsigned numbers */
int64_t mq_whole_mul(int64_t a, int64_t b);                    /* a b */
int64_t mq_whole_or(int64_t a, int64_t b);                     /* a | b */
int64_t mq_whole_pow(int64_t a, int64_t b);                    /* a^b; 0 or +-1 for negative b */
int64_t mq_whole_remainder(int64_t a, int64_t b);  /* the rest of a / b towards 0, with the sign of a; 0 where b is 0 */
int64_t mq_whole_shift_left(int64_t a, int64_t b); /* a 2^b */
int64_t mq_whole_shift_right(int64_t a, int64_t b);          /* floor(a / 2^b); the sign where b is not within 0..63 */
int64_t mq_whole_shift_right_unsigned(int64_t a, int64_t b); /* the same of unsigned numbers */
int64_t mq_whole_sign(int64_t a, int64_t b);                 /* -1, 0 or 1 */
int64_t mq_whole_sub(int64_t a, int64_t b);                  /* a - b */
int64_t mq_whole_xor(int64_t a, int64_t b);                  /* a ^ b */

int32_t mq_is_equal(float a, float b);         /* a == b */
int32_t mq_is_less(float a, float b);          /* a < b */
int32_t mq_is_less_or_equal(float a, float b); /* a <= b */

#endif
