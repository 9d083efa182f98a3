/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

typedef float mq_real;
#define MQ_TO_F32(v) (v)
#define MQ_FROM_F32(v) (v)
#define MQ_KERNEL mq_fully_connected_w8_f32
#include "mq_fully_connected_w8.h"
