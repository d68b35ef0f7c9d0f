mod parity;
mod squeezenet;
