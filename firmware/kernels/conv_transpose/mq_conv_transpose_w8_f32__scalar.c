/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_conv_transpose.h"

typedef float mq_real;
#define MQ_TO_F32(v) (v)
#define MQ_FROM_F32(v) (v)
#define MQ_KERNEL mq_conv_transpose_w8_f32
#include "mq_conv_transpose_w8.h"
